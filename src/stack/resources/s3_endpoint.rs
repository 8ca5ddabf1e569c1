//! The S3 gateway endpoint of the VPC, for instances without a public address: with it they reach S3 for nothing. SQS has no gateway
//! endpoint; whether the instances reach it is checked, and said.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, ResourceType, RouteState, RouteTable, VpcEndpoint, VpcEndpointType};

use super::security_group::{specification, tag, tags_of};
use super::{RetryPolicy, STACK_TAG, StepContext, Tags, ok_if_gone, optional, own_tags, tag_changes};
use crate::aws::{CallError, CallResult, Errors, Kind, Reader, Writer, all};
use crate::stack::address::Address;
use crate::stack::change::{Action, Change};

/// What a plan calls it: its ID is not known before.
const NAME: &str = "S3 gateway endpoint";

/// The endpoint as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Endpoint {
    pub vpc_id: String,
    /// "com.amazonaws.eu-west-1.s3".
    pub service: String,
    pub tags: Tags,
}

/// A gateway endpoint as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub id: String,
    pub tables: BTreeSet<String>,
    pub tags: Tags,
}

/// What is there of a VPC's network.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The stack's own.
    pub ours: Option<Endpoint>,
    /// Other people's, by ID, and the route tables that they serve.
    pub others: Vec<Endpoint>,
    /// The route tables of the subnets.
    pub tables: BTreeSet<String>,
    /// Whether the subnets reach SQS: `Err` names those route tables that do not.
    pub sqs: Result<(), BTreeSet<String>>,
}

impl Default for Observed {
    /// Nothing, and nothing needed.
    fn default() -> Self {
        Self { ours: None, others: Vec::new(), tables: BTreeSet::new(), sqs: Ok(()) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { endpoint: S3Endpoint, tables: BTreeSet<String> },
    Modify { id: String, add: BTreeSet<String>, remove: BTreeSet<String> },
    Tag { id: String, set: Tags, remove: Vec<String> },
    Delete { id: String },
}

/// The service's name in a region; China's begin with `cn.` (VPC user guide, "AWS services that integrate with AWS PrivateLink").
pub fn service(region: &str, name: &str) -> String {
    let prefix = if region.starts_with("cn-") { "cn." } else { "" };
    format!("{prefix}com.amazonaws.{region}.{name}")
}

/// The stack's own endpoint; with `vpc`, also what the network of its subnets has.
///
/// # Errors
/// A call fails.
pub async fn read(aws: &Reader, stack: &str, vpc: Option<&str>, subnet: Option<&str>) -> Result<Observed, Errors> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let endpoints = async |filters: Vec<Filter>| {
        let result = aws.describe_vpc_endpoints().set_filters(Some(filters)).send().await;
        let out = optional(result.action("ec2:DescribeVpcEndpoints"))?;
        Ok::<_, CallError>(out.and_then(|out| out.vpc_endpoints).unwrap_or_default())
    };
    let own = vec![filter(&format!("tag:{STACK_TAG}"), stack)];
    let Some(vpc) = vpc else {
        let ours = endpoints(own).await?.iter().find_map(gateway);
        return Ok(Observed { ours, ..Observed::default() });
    };
    let in_vpc = || vec![filter("vpc-id", vpc)];
    let tables = async {
        let result = aws.describe_route_tables().set_filters(Some(in_vpc())).send().await;
        Ok::<_, CallError>(result.action("ec2:DescribeRouteTables")?.route_tables.unwrap_or_default())
    };
    let subnets = async {
        let request = match subnet {
            Some(subnet) => aws.describe_subnets().subnet_ids(subnet),
            None => {
                aws.describe_subnets().set_filters(Some([in_vpc(), vec![filter("default-for-az", "true")]].concat()))
            }
        };
        // A missing subnet is reported with the security group.
        let found = optional(request.send().await.action("ec2:DescribeSubnets"))?;
        let subnets = found.and_then(|out| out.subnets).unwrap_or_default();
        Ok::<_, CallError>(subnets.into_iter().filter_map(|subnet| subnet.subnet_id).collect::<Vec<_>>())
    };
    let (own, there, tables, subnets) =
        all!(own: endpoints(own), there: endpoints(in_vpc()), tables: tables, subnets: subnets)?;
    let of_subnets: Vec<&RouteTable> = subnets.iter().filter_map(|subnet| table_of(&tables, subnet)).collect();
    let ids = |tables: &[&RouteTable]| -> BTreeSet<String> {
        tables.iter().filter_map(|table| table.route_table_id.clone()).collect()
    };
    let sqs = service(aws.region(), "sqs");
    let has_endpoint = there.iter().any(|endpoint| {
        endpoint.service_name() == Some(&sqs) && is_alive(endpoint) && endpoint.private_dns_enabled() == Some(true)
    });
    let shut: Vec<&RouteTable> = of_subnets.iter().copied().filter(|table| !leads_out(table)).collect();
    let s3 = service(aws.region(), "s3");
    let ours = own.iter().find_map(gateway);
    let others = there.iter().filter(|endpoint| endpoint.service_name() == Some(&s3)).filter_map(gateway);
    let others = others.filter(|endpoint| ours.as_ref().is_none_or(|ours| ours.id != endpoint.id)).collect();
    Ok(Observed {
        others,
        ours,
        tables: ids(&of_subnets),
        sqs: if has_endpoint || shut.is_empty() { Ok(()) } else { Err(ids(&shut)) },
    })
}

fn is_alive(endpoint: &VpcEndpoint) -> bool {
    // EC2 writes it in several ways: "available", "Available", "deleted".
    endpoint.state().is_none_or(|state| !["deleting", "deleted"].contains(&&*state.as_str().to_lowercase()))
}

fn gateway(endpoint: &VpcEndpoint) -> Option<Endpoint> {
    if endpoint.vpc_endpoint_type() != Some(&VpcEndpointType::Gateway) || !is_alive(endpoint) {
        return None;
    }
    Some(Endpoint {
        id: endpoint.vpc_endpoint_id.clone()?,
        tables: endpoint.route_table_ids().iter().cloned().collect(),
        tags: own_tags(&tags_of(endpoint.tags())),
    })
}

/// A subnet's own table, or else the VPC's main one (VPC user guide, "Route table concepts").
fn table_of<'t>(tables: &'t [RouteTable], subnet: &str) -> Option<&'t RouteTable> {
    let own = tables.iter().find(|table| table.associations().iter().any(|one| one.subnet_id() == Some(subnet)));
    own.or_else(|| tables.iter().find(|table| table.associations().iter().any(|one| one.main() == Some(true))))
}

/// Whether an instance without a public address reaches the Internet by it: by a NAT, an instance, or another network, and not by an
/// Internet gateway.
fn leads_out(table: &RouteTable) -> bool {
    table.routes().iter().any(|route| {
        let everywhere = route.destination_cidr_block() == Some("0.0.0.0/0");
        let internet = route.gateway_id().is_some_and(|id| id.starts_with("igw-"));
        everywhere && !internet && route.state() != Some(&RouteState::Blackhole)
    })
}

/// `None`: there is nothing to show. `desired` is `None` where no instance needs it.
pub fn diff(desired: Option<&S3Endpoint>, observed: &Observed) -> Option<Change<Step>> {
    let mut change = Change::new(Address::S3Endpoint, NAME);
    let Some(desired) = desired else {
        return observed.ours.as_ref().map(delete);
    };
    let served: BTreeSet<String> = observed.others.iter().flat_map(|other| other.tables.iter().cloned()).collect();
    let wanted: BTreeSet<String> = observed.tables.difference(&served).cloned().collect();
    let Some(ours) = &observed.ours else {
        if wanted.is_empty() {
            return Some(change);
        }
        change.unknown("id", None);
        change.set("service", &desired.service);
        change.set("vpc", &desired.vpc_id);
        change.set("route_tables", &wanted);
        change.set("tags", &desired.tags);
        change.step(Step::Create { endpoint: desired.clone(), tables: wanted });
        return Some(change.action(Action::Create));
    };
    if change.compare("route_tables", &ours.tables, &wanted) {
        let add = wanted.difference(&ours.tables).cloned().collect();
        let remove = ours.tables.difference(&wanted).cloned().collect();
        change.step(Step::Modify { id: ours.id.clone(), add, remove });
    }
    if change.compare("tags", &ours.tags, &desired.tags) {
        let (set, remove) = tag_changes(&ours.tags, &desired.tags);
        change.step(Step::Tag { id: ours.id.clone(), set, remove });
    }
    Some(change.settle())
}

pub fn delete(ours: &Endpoint) -> Change<Step> {
    let mut change = Change::new(Address::S3Endpoint, NAME);
    change.removed("id", &ours.id);
    change.removed("route_tables", &ours.tables);
    change.removal(Step::Delete { id: ours.id.clone() });
    change.action(Action::Delete)
}

/// What the plan says about the network of instances without a public address.
pub fn notes(observed: &Observed, region: &str, vpc_id: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let serving: Vec<&str> = observed
        .others
        .iter()
        .filter(|other| !other.tables.is_disjoint(&observed.tables))
        .map(|one| &*one.id)
        .collect();
    if !serving.is_empty() {
        notes.push(format!("S3 is reached by the endpoint {}, which is not the stack's.", serving.join(", ")));
    }
    if let Err(tables) = &observed.sqs {
        let tables = tables.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let sqs = service(region, "sqs");
        notes.push(format!(
            "Instances without a public address do not reach SQS by {tables}: add a NAT gateway, or an interface endpoint with \
             private DNS (aws ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id {vpc_id} --service-name {sqs} \
             --private-dns-enabled --subnet-ids …). Until then they cost money and do nothing."
        ));
    }
    notes
}

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    let list = |set: &BTreeSet<String>| (!set.is_empty()).then(|| set.iter().cloned().collect::<Vec<_>>());
    match step {
        Step::Create { endpoint, tables } => {
            let S3Endpoint { vpc_id, service, tags } = endpoint;
            let request = ec2.create_vpc_endpoint().vpc_id(vpc_id).service_name(service);
            let request = request.vpc_endpoint_type(VpcEndpointType::Gateway).set_route_table_ids(list(tables));
            let request = request.tag_specifications(specification(ResourceType::VpcEndpoint, tags));
            request.send().await.map(drop).action("ec2:CreateVpcEndpoint")
        }
        Step::Modify { id, add, remove } => {
            let request = ec2.modify_vpc_endpoint().vpc_endpoint_id(id);
            let request = request.set_add_route_table_ids(list(add)).set_remove_route_table_ids(list(remove));
            request.send().await.map(drop).action("ec2:ModifyVpcEndpoint")
        }
        Step::Tag { id, set, remove } => tag(id, set, remove, aws).await,
        Step::Delete { id } => {
            const ACTION: &str = "ec2:DeleteVpcEndpoints";
            let why = "waiting for EC2 to let the endpoint go";
            let again = |error: &CallError| matches!(error.kind, Kind::NotYet | Kind::InUse);
            let delete = || async {
                let result = ec2.delete_vpc_endpoints().vpc_endpoint_ids(id).send().await;
                // It returns 200 with a list of failures.
                let failed = match result.action(ACTION) {
                    Ok(out) => out.unsuccessful.unwrap_or_default().into_iter().next().and_then(|failed| failed.error),
                    Err(error) => return ok_if_gone(Err::<(), _>(error)),
                };
                match failed {
                    Some(error) if error.code().is_some_and(|code| code.ends_with(".NotFound")) => Ok(()),
                    Some(error) => {
                        Err(CallError::judged(ACTION, Kind::InUse, error.message().unwrap_or("EC2 gives no reason")))
                    }
                    None => Ok(()),
                }
            };
            context.retry(&RetryPolicy::PROPAGATION, why, again, delete).await
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{Route, RouteTableAssociation};

    use super::*;

    fn desired() -> S3Endpoint {
        S3Endpoint {
            vpc_id: "vpc-1".into(),
            service: service("us-east-1", "s3"),
            tags: Tags::from([(STACK_TAG.into(), "cats".into())]),
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn endpoint(id: &str, tables: &[&str]) -> Endpoint {
        Endpoint { id: id.into(), tables: set(tables), tags: desired().tags }
    }

    #[test]
    fn the_endpoint_serves_the_tables_that_no_other_serves() {
        let bare = Observed { tables: set(&["rtb-1", "rtb-2"]), ..Observed::default() };
        let change = diff(Some(&desired()), &bare).unwrap();
        assert_eq!(change.steps, [Step::Create { endpoint: desired(), tables: set(&["rtb-1", "rtb-2"]) }]);
        let others = Observed { others: vec![endpoint("vpce-9", &["rtb-1"])], ..bare.clone() };
        let change = diff(Some(&desired()), &others).unwrap();
        assert_eq!(change.steps, [Step::Create { endpoint: desired(), tables: set(&["rtb-2"]) }]);
        let all = Observed { others: vec![endpoint("vpce-9", &["rtb-1", "rtb-2"])], ..bare.clone() };
        assert_eq!(diff(Some(&desired()), &all).unwrap().action, Action::None);
        assert!(notes(&all, "us-east-1", "vpc-1")[0].contains("vpce-9, which is not the stack's"));

        let there = Observed { ours: Some(endpoint("vpce-1", &["rtb-1", "rtb-2"])), ..bare.clone() };
        assert_eq!(diff(Some(&desired()), &there).unwrap().action, Action::None);
        let moved = Observed { ours: Some(endpoint("vpce-1", &["rtb-1", "rtb-3"])), ..bare };
        let modify = Step::Modify { id: "vpce-1".into(), add: set(&["rtb-2"]), remove: set(&["rtb-3"]) };
        assert_eq!(diff(Some(&desired()), &moved).unwrap().steps, [modify]);
        let gone = diff(None, &there).unwrap();
        assert_eq!((gone.action, gone.removals), (Action::Delete, vec![Step::Delete { id: "vpce-1".into() }]));
        assert_eq!(diff(None, &Observed::default()), None);
    }

    #[test]
    fn a_way_out_is_a_nat_and_not_an_internet_gateway() {
        let table = |route: Route| RouteTable::builder().routes(route).build();
        let to = || Route::builder().destination_cidr_block("0.0.0.0/0").state(RouteState::Active);
        assert!(leads_out(&table(to().nat_gateway_id("nat-1").build())));
        assert!(leads_out(&table(to().transit_gateway_id("tgw-1").build())));
        assert!(!leads_out(&table(to().gateway_id("igw-1").build())));
        assert!(!leads_out(&table(to().nat_gateway_id("nat-1").state(RouteState::Blackhole).build())));
        assert!(!leads_out(&RouteTable::builder().build()));
        let said = notes(&Observed { sqs: Err(set(&["rtb-1"])), ..Observed::default() }, "us-east-1", "vpc-1");
        assert!(said[0].contains("do not reach SQS by rtb-1: add a NAT gateway") && said[0].contains("us-east-1.sqs"));
    }

    #[test]
    fn a_subnet_without_a_table_has_the_main_one() {
        let of = |id: &str, association: RouteTableAssociation| {
            RouteTable::builder().route_table_id(id).associations(association).build()
        };
        let tables = [
            of("rtb-main", RouteTableAssociation::builder().main(true).build()),
            of("rtb-own", RouteTableAssociation::builder().subnet_id("subnet-1").build()),
        ];
        let id = |subnet: &str| table_of(&tables, subnet).and_then(|table| table.route_table_id());
        assert_eq!((id("subnet-1"), id("subnet-2")), (Some("rtb-own"), Some("rtb-main")));
        assert_eq!(service("cn-north-1", "s3"), "cn.com.amazonaws.cn-north-1.s3");
    }
}
