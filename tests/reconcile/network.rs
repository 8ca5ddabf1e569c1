//! Instances without public addresses, and the S3 endpoint that they need.

use aws_sdk_ec2::types::{Filter, VpcEndpointType};

use super::*;

const PRIVATE: &str = "name = \"cats\"\n[network]\npublic_ip = false\n";

impl Caller {
    /// The IDs of the gateway endpoints in the account, with their route tables.
    async fn endpoints(&self) -> Vec<(String, Vec<String>)> {
        let out = self.clients.ec2.describe_vpc_endpoints().send().await.unwrap();
        let alive = out.vpc_endpoints().iter().filter(|endpoint| {
            endpoint.state().is_none_or(|state| !["deleting", "deleted"].contains(&&*state.as_str().to_lowercase()))
        });
        alive.map(|one| (one.vpc_endpoint_id().unwrap().to_owned(), one.route_table_ids().to_vec())).collect()
    }
}

#[tokio::test]
async fn the_endpoint_comes_with_private_instances_and_goes_with_them() {
    let moto = Moto::start_strict(&[
        "ec2-instance-states.pending=0",
        "ec2-instance-states.terminate=0",
        "ec2-security-group-in-use.seconds=0",
        "iam-instance-profile-propagation.seconds=0",
    ]);
    let world = FaultInjectingConnector::before_strict_server();
    let caller = Caller::with(&moto, PRIVATE, world.again()).await;
    let plan = caller.plan().await;
    assert!(plan.notes.iter().any(|note| note.contains("do not reach SQS")), "{:?}", plan.notes);
    assert_done(&caller.apply().await.0);
    caller.assert_applied("after apply").await;
    let endpoints = caller.endpoints().await;
    assert!(matches!(&endpoints[..], [(_, tables)] if tables.len() == 1), "{endpoints:?}");
    let instance = caller.observe().await.fleet.alive[0].clone();
    assert_eq!(instance.public_ip, None);

    // Somebody takes the table off.
    let (id, tables) = endpoints[0].clone();
    let modify = caller.clients.ec2.modify_vpc_endpoint().vpc_endpoint_id(&id);
    modify.remove_route_table_ids(&tables[0]).send().await.unwrap();
    let plan = caller.plan().await;
    let changed: Vec<String> =
        plan.changes.iter().filter(|one| one.action != Action::None).map(|one| one.address.to_string()).collect();
    assert_eq!(changed, ["s3-endpoint"], "{plan:#?}");
    assert_done(&caller.apply().await.0);
    assert_eq!(caller.endpoints().await, endpoints);

    // With public addresses again it goes, and the instance stays as it is.
    let public = Caller::with(&moto, "name = \"cats\"", world.again()).await;
    assert_done(&public.apply().await.0);
    public.assert_applied("with public addresses").await;
    assert_eq!(public.endpoints().await, []);

    // An endpoint of somebody else does as well, and stays.
    let vpc = public.observe().await.vpc.unwrap();
    let ec2 = &public.clients.ec2;
    let main = Filter::builder().name("association.main").values("true").build();
    let of_vpc = Filter::builder().name("vpc-id").values(&vpc).build();
    let tables = ec2.describe_route_tables().filters(main).filters(of_vpc).send().await.unwrap();
    let create = ec2.create_vpc_endpoint().vpc_id(&vpc).service_name("com.amazonaws.us-east-1.s3");
    let create = create.vpc_endpoint_type(VpcEndpointType::Gateway);
    create.route_table_ids(tables.route_tables()[0].route_table_id().unwrap()).send().await.unwrap();
    let plan = caller.plan().await;
    assert!(plan.changes.iter().all(|one| one.address != Address::S3Endpoint || one.action == Action::None));
    assert!(plan.notes.iter().any(|note| note.contains("which is not the stack's")), "{:?}", plan.notes);
    assert_done(&caller.destroy().await);
    caller.assert_destroyed("after destroy").await;
    assert_eq!(caller.endpoints().await.len(), 1, "theirs");
}
