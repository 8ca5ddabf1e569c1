//! Creates, tags and deletes the launch template and its versions.

use aws_sdk_ec2::types::{
    CreditSpecificationRequest, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplateTagSpecificationRequest,
    RequestLaunchTemplateData, ResourceType, VolumeType,
};

use super::{LaunchTemplate, Step, read};
use crate::aws::{CallError, CallResult, Kind, Reader, Writer};
use crate::stack::resources::instance::{Launch, user_data};
use crate::stack::resources::security_group::{ec2_tags, specification, tag};
use crate::stack::resources::{Found, StepContext, ok_if_gone};

/// Versions that DeleteLaunchTemplateVersions takes in one call (API reference).
const DELETE_BATCH: usize = 200;

pub async fn run(step: &Step, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let ec2 = &aws.clients.ec2;
    match step {
        Step::Create(template) => create(template, aws, context).await,
        Step::CreateVersion { id, template } => {
            let request = ec2.create_launch_template_version().launch_template_id(id);
            let out = request.launch_template_data(data(template, context)).send().await;
            let out = out.action("ec2:CreateLaunchTemplateVersion")?;
            let number = out.launch_template_version.and_then(|version| version.version_number);
            context.outputs.set_launch_template_version(number);
            Ok(())
        }
        Step::Tag { id, set, remove } => tag(id, set, remove, aws).await,
        Step::DeleteVersions { id, versions } => {
            for versions in versions.chunks(DELETE_BATCH) {
                context.go_on("ec2:DeleteLaunchTemplateVersions")?;
                let numbers = versions.iter().map(i64::to_string).collect();
                let request = ec2.delete_launch_template_versions().launch_template_id(id).set_versions(Some(numbers));
                // It answers 200 with a list of the versions that it did not delete: gone already, or the default one.
                ok_if_gone(request.send().await.action("ec2:DeleteLaunchTemplateVersions"))?;
            }
            Ok(())
        }
        Step::Delete { id } => {
            let result = ec2.delete_launch_template().launch_template_id(id).send().await;
            ok_if_gone(result.action("ec2:DeleteLaunchTemplate"))
        }
    }
}

async fn create(template: &LaunchTemplate, aws: &Writer, context: &StepContext<'_>) -> Result<(), CallError> {
    let request = aws.clients.ec2.create_launch_template().launch_template_name(&template.name);
    let request = request.tag_specifications(specification(ResourceType::LaunchTemplate, &template.tags));
    let result = request.launch_template_data(data(template, context)).send().await;
    let number = match result.action("ec2:CreateLaunchTemplate") {
        // Created by an attempt whose response was lost, or by a concurrent apply: then it has our tags.
        Err(error) if error.kind == Kind::AlreadyExists => {
            match read(&Reader::new(&aws.clients), context.stack, &template.name).await? {
                Found::Ours(observed) => observed.versions.first().map(|version| version.number),
                _ => return Err(error),
            }
        }
        result => result?.launch_template.and_then(|template| template.latest_version_number),
    };
    context.outputs.set_launch_template_version(number);
    Ok(())
}

fn data(template: &LaunchTemplate, context: &StepContext<'_>) -> RequestLaunchTemplateData {
    let Launch {
        image: _,
        ami,
        instance_type: _,
        key_pair,
        profile,
        profile_id: _,
        security_group: _,
        security_group_id,
        vpc_id: _,
        subnet: _,
        public_ip,
        public_address: _,
        credits,
        user_data,
        code_bucket: _,
        tags: _,
    } = &template.launch;
    let tags = ec2_tags(&template.instance_tags());
    let tagged = |resource: ResourceType| {
        LaunchTemplateTagSpecificationRequest::builder().resource_type(resource).set_tags(Some(tags.clone())).build()
    };
    let group = security_group_id.clone().or_else(|| context.outputs.security_group());
    let interface = LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
        .device_index(0)
        .associate_public_ip_address(*public_ip)
        .delete_on_termination(true)
        .set_groups(group.map(|id| vec![id]))
        .build();
    let root = LaunchTemplateEbsBlockDeviceRequest::builder()
        .encrypted(true)
        .delete_on_termination(true)
        .volume_type(VolumeType::Gp3)
        .volume_size(ami.root_gib)
        .build();
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::Enabled)
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .build();
    RequestLaunchTemplateData::builder()
        .image_id(&ami.id)
        .set_key_name(key_pair.clone())
        .iam_instance_profile(LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(profile).build())
        .network_interfaces(interface)
        .block_device_mappings(
            LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&ami.root_device).ebs(root).build(),
        )
        .metadata_options(metadata)
        .set_credit_specification(
            credits.map(|credits| CreditSpecificationRequest::builder().cpu_credits(credits.to_string()).build()),
        )
        .user_data(user_data::encode(user_data))
        .tag_specifications(tagged(ResourceType::Instance))
        .tag_specifications(tagged(ResourceType::Volume))
        .build()
}
