//! Launches, changes and terminates instances.

use aws_sdk_ec2::types::{
    BlockDeviceMapping, CreditSpecificationRequest, EbsBlockDevice, Filter, HttpTokensState,
    IamInstanceProfileSpecification, Instance, InstanceCreditSpecificationRequest, InstanceMetadataEndpointState,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceStateName, InstanceType,
    ResourceType, VolumeType,
};
use sha2::{Digest, Sha256};

use super::describe::{describe, state};
use super::{Launch, ProfileId, PublicAddress, Step, user_data, worker};
use crate::aws::{CallError, CallResult, Kind, Writer};
use crate::config::Credits;
use crate::stack::address::Address;
use crate::stack::resources::security_group::{specification, tag};
use crate::stack::resources::{RetryPolicy, Running, StepContext, ok_if_gone};
use crate::text::hex;

/// Client tokens in a row that are found spent on a terminated instance. A token stays bound for at least a day after that
/// (EC2 user guide, "Ensuring idempotency"): as many launches of the same number with the same parameters in one day.
const MAX_SPENT_TOKENS: usize = 50;

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    match step {
        Step::Launch { index, launch, known } => run_launch(*index, launch, known, aws, context).await,
        Step::AwaitReport { id, bucket } => worker::await_report(id.as_deref(), bucket, aws, context).await,
        Step::Start { id } => {
            // A stopping instance cannot be started yet.
            let stopping = |error: &CallError| matches!(error.code.as_deref(), Some("IncorrectInstanceState"));
            let start = || async {
                let result = ec2.start_instances().instance_ids(id).send().await;
                result.map(drop).action("ec2:StartInstances")
            };
            context.retry(&RetryPolicy::INSTANCE, "the instance is still stopping", stopping, start).await?;
            wait_running(id, aws, context).await
        }
        Step::SetProfile { id, profile } => set_profile(id, profile, aws, context).await,
        Step::SetSecurityGroup { id, security_group_id } => {
            let group = security_group_id.clone().or_else(|| context.outputs.security_group());
            let why = "waiting for the new security group to reach all of EC2";
            context
                .retry(&RetryPolicy::PROPAGATION, why, group_not_known_yet, || async {
                    let request = ec2.modify_instance_attribute().instance_id(id);
                    let result = request.set_groups(group.clone().map(|id| vec![id])).send().await;
                    result.map(drop).action("ec2:ModifyInstanceAttribute")
                })
                .await
        }
        Step::RequireTokens { id } => {
            let request = ec2.modify_instance_metadata_options().instance_id(id);
            let result = request.http_tokens(HttpTokensState::Required).http_put_response_hop_limit(1).send().await;
            result.map(drop).action("ec2:ModifyInstanceMetadataOptions")
        }
        Step::SetCredits { id, credits } => set_credits(id, *credits, aws).await,
        Step::Tag { id, set, remove } => tag(id, set, remove, aws).await,
        Step::Terminate { ids } => terminate(ids, aws, context).await,
    }
}

async fn run_launch(
    index: u32,
    launch: &Launch,
    known: &[String],
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<(), CallError> {
    let mut known = known.to_vec();
    for round in 1..=MAX_SPENT_TOKENS {
        match run_instances(index, launch, &known, aws, context).await {
            Ok(instance) if !is_going(&instance) => {
                return wait_running(instance.instance_id().unwrap_or_default(), aws, context).await;
            }
            // The token is spent on an instance that has gone. EC2 refuses it; while the instance is going, it may answer
            // with it instead. What comes next must not depend on which: then two applies at once agree on the next token,
            // and launch one instance.
            Ok(_) => {}
            Err(error) if error.kind == Kind::TokenSpent => {}
            Err(error) => return Err(error),
        }
        known.push(format!("spent {round}"));
    }
    Err(CallError::judged(
        "ec2:RunInstances",
        Kind::Refused,
        format!(
            "{MAX_SPENT_TOKENS} instances with these parameters were launched and terminated within a day; change something \
             in [instance] or [tags], or try again tomorrow"
        ),
    ))
}

/// Whether a new security group has not reached all of EC2 yet.
fn group_not_known_yet(error: &CallError) -> bool {
    error.code.as_deref() == Some("InvalidGroup.NotFound")
}

async fn run_instances(
    index: u32,
    launch: &Launch,
    known: &[String],
    aws: &Writer,
    context: &StepContext<'_>,
) -> Result<Instance, CallError> {
    let Launch {
        image: _,
        ami,
        instance_type,
        key_pair,
        profile,
        profile_id: _,
        security_group: _,
        security_group_id,
        vpc_id: _,
        subnet,
        public_ip,
        public_address: _,
        credits,
        user_data,
        code_bucket: _,
        tags: _,
    } = launch;
    let tags = launch.tags_of(context.stack, index);
    let group = security_group_id.clone().or_else(|| context.outputs.security_group());
    let token = client_token(index, launch, group.as_deref(), known);
    let root = EbsBlockDevice::builder()
        .encrypted(true)
        .delete_on_termination(true)
        .volume_type(VolumeType::Gp3)
        .volume_size(ami.root_gib)
        .build();
    let root = BlockDeviceMapping::builder().device_name(&ami.root_device).ebs(root).build();
    let metadata = InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .build();
    let profile = IamInstanceProfileSpecification::builder().name(profile).build();
    let credits = credits.map(|credits| CreditSpecificationRequest::builder().cpu_credits(credits.to_string()).build());
    // Only an interface can be told to have no address; group and subnet then stand in it (API RunInstances).
    let interface = InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .associate_public_ip_address(false)
        .set_groups(group.clone().map(|id| vec![id]))
        .set_subnet_id(subnet.clone())
        .build();
    let request = || {
        aws.clients
            .ec2
            .run_instances()
            .client_token(&token)
            .image_id(&ami.id)
            .instance_type(InstanceType::from(instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .set_key_name(key_pair.clone())
            .iam_instance_profile(profile.clone())
            .set_security_group_ids(group.clone().filter(|_| *public_ip).map(|id| vec![id]))
            .set_subnet_id(subnet.clone().filter(|_| *public_ip))
            .set_network_interfaces((!*public_ip).then(|| vec![interface.clone()]))
            .set_credit_specification(credits.clone())
            .user_data(user_data::encode(user_data))
            .metadata_options(metadata.clone())
            .block_device_mappings(root.clone())
            .tag_specifications(specification(ResourceType::Instance, &tags))
            .tag_specifications(specification(ResourceType::Volume, &tags))
    };
    // The same token on every attempt: an attempt whose answer was lost must not have launched a second instance.
    // An image, a key pair or a subnet that is not there will not come.
    let not_yet = |error: &CallError| error.kind == Kind::NotYet || group_not_known_yet(error);
    let why = "waiting for the new instance profile to reach EC2 (usually 10 s)";
    let out = context
        .retry(&RetryPolicy::PROPAGATION, why, not_yet, || async { request().send().await.action("ec2:RunInstances") })
        .await?;
    out.instances
        .unwrap_or_default()
        .into_iter()
        .next()
        .ok_or_else(|| CallError::judged("ec2:RunInstances", Kind::Unavailable, "the response names no instance"))
}

/// Equal for two applies that launch the same instance: 64 hexadecimal digits, as long as EC2 allows.
fn client_token(index: u32, launch: &Launch, group: Option<&str>, known: &[String]) -> String {
    // Without what only one of two applies at once may have found. Of the security group both have the ID in `group`.
    let anyone = Launch {
        security_group_id: None,
        profile_id: ProfileId::Unknown,
        public_address: PublicAddress::Perhaps,
        ..launch.clone()
    };
    let what = format!("{index} {anyone:?} {group:?} {known:?}");
    hex(&Sha256::digest(what))
}

fn is_going(instance: &Instance) -> bool {
    matches!(state(instance), Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated))
}

/// Waits until the instance is running.
async fn wait_running(id: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let still = |message: &str| CallError::judged("ec2:DescribeInstances", Kind::NotYet, message);
    let pending = |error: &CallError| error.kind == Kind::NotYet;
    let public_ip = context
        .retry(&RetryPolicy::INSTANCE, &format!("{id} is starting"), pending, || async {
            let instances = describe(&[id.to_owned()], aws).await?;
            // So soon after the launch EC2 may not list it.
            let Some(instance) = instances.first() else { return Err(still("EC2 does not list the instance yet")) };
            match state(instance) {
                Some(InstanceStateName::Running) => Ok(instance.public_ip_address.clone().filter(|ip| !ip.is_empty())),
                Some(InstanceStateName::Pending) | None => Err(still("the instance is still pending")),
                Some(other) => Err(CallError::judged(
                    "ec2:RunInstances",
                    Kind::Refused,
                    format!(
                        "the instance {id} is {} instead of running: {}",
                        other.as_str(),
                        instance.state_reason().and_then(|reason| reason.message()).unwrap_or("EC2 gives no reason")
                    ),
                )),
            }
        })
        .await?;
    if let Address::Instance(index) = context.address {
        context.outputs.facts().running.insert(index, Running { id: id.to_owned(), public_ip, reported: false });
    }
    Ok(())
}

/// Waits until the instances are terminated or no longer listed.
async fn terminate(ids: &[String], aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let result = aws.clients.ec2.terminate_instances().set_instance_ids(Some(ids.to_vec())).send().await;
    ok_if_gone(result.action("ec2:TerminateInstances"))?;
    let going = |error: &CallError| error.kind == Kind::NotYet;
    let why = format!("{} is shutting down", ids.join(", "));
    context
        .retry(&RetryPolicy::INSTANCE, &why, going, || async {
            let instances = describe(ids, aws).await?;
            let gone = instances.iter().all(|instance| state(instance) == Some(&InstanceStateName::Terminated));
            if gone {
                context.outputs.facts().terminated.extend(ids.iter().cloned());
                return Ok(());
            }
            Err(CallError::judged(
                "ec2:TerminateInstances",
                Kind::NotYet,
                format!("{} is still shutting down", ids.join(", ")),
            ))
        })
        .await
}

async fn set_credits(id: &str, credits: Credits, aws: &Writer) -> Result<(), CallError> {
    const ACTION: &str = "ec2:ModifyInstanceCreditSpecification";
    let request =
        InstanceCreditSpecificationRequest::builder().instance_id(id).cpu_credits(credits.to_string()).build();
    let result = aws.clients.ec2.modify_instance_credit_specification().instance_credit_specifications(request).send();
    let out = result.await.action(ACTION)?;
    // It returns 200 with a list of failures.
    match out.unsuccessful_instance_credit_specifications().first().and_then(|failed| failed.error()) {
        Some(error) => Err(CallError::judged(ACTION, Kind::Refused, error.message().unwrap_or("EC2 gives no reason"))),
        None => Ok(()),
    }
}

async fn set_profile(id: &str, profile: &str, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    let by_instance = Filter::builder().name("instance-id").values(id).build();
    let result = ec2.describe_iam_instance_profile_associations().filters(by_instance).send().await;
    let out = result.action("ec2:DescribeIamInstanceProfileAssociations")?;
    let current = out.iam_instance_profile_associations.unwrap_or_default().into_iter().next();
    let specification = IamInstanceProfileSpecification::builder().name(profile).build();
    let not_yet = |error: &CallError| error.kind == Kind::NotYet;
    let why = "waiting for the new instance profile to reach EC2 (usually 10 s)";
    context
        .retry(&RetryPolicy::PROPAGATION, why, not_yet, || async {
            match current.as_ref().and_then(|association| association.association_id()) {
                Some(association) => {
                    let request = ec2.replace_iam_instance_profile_association().association_id(association);
                    let result = request.iam_instance_profile(specification.clone()).send().await;
                    result.map(drop).action("ec2:ReplaceIamInstanceProfileAssociation")
                }
                None => {
                    let request = ec2.associate_iam_instance_profile().instance_id(id);
                    let result = request.iam_instance_profile(specification.clone()).send().await;
                    result.map(drop).action("ec2:AssociateIamInstanceProfile")
                }
            }
        })
        .await
}

#[cfg(test)]
pub(super) mod tests;
