//! Observes the launch template and its versions.

use aws_sdk_ec2::types::{
    Filter, LaunchTemplateHttpTokensState, LaunchTemplateVersion, ResourceType, ResponseLaunchTemplateData,
};

use super::{Observed, Version};
use crate::aws::{CallError, CallResult, Reader};
use crate::stack::resources::instance::user_data;
use crate::stack::resources::security_group::tags_of;
use crate::stack::resources::{Found, Tags, optional, own_tags};

/// Pages of DescribeLaunchTemplateVersions, 200 versions each: old versions are deleted after a refresh.
const MAX_PAGES: usize = 10;

pub async fn read(aws: &Reader, stack: &str, name: &str) -> Result<Found<Observed>, CallError> {
    let by_name = Filter::builder().name("launch-template-name").values(name).build();
    let result = aws.describe_launch_templates().filters(by_name).send().await;
    let templates = result.action("ec2:DescribeLaunchTemplates")?.launch_templates.unwrap_or_default();
    let Some(template) = templates.into_iter().next() else { return Ok(Found::Absent) };
    let tags = tags_of(template.tags());
    let id = template.launch_template_id.clone().unwrap_or_default();
    let mut versions = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let request = aws.describe_launch_template_versions().launch_template_id(&id).set_next_token(next);
        // Deleted since the call before: then it has no versions, and the next plan shows it.
        let Some(page) = optional(request.send().await.action("ec2:DescribeLaunchTemplateVersions"))? else { break };
        versions.extend(page.launch_template_versions().iter().map(version));
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    versions.sort_by_key(|version| std::cmp::Reverse(version.number));
    let default_version = template.default_version_number.unwrap_or(1);
    let observed = Observed { id, default_version, versions, tags: own_tags(&tags) };
    Ok(Found::by_tags(stack, &tags, &format!("the launch template {name}"), observed))
}

fn version(version: &LaunchTemplateVersion) -> Version {
    let empty = ResponseLaunchTemplateData::builder().build();
    let data = version.launch_template_data().unwrap_or(&empty);
    let profile = data.iam_instance_profile();
    let by_arn = profile.and_then(|profile| profile.arn()).and_then(|arn| arn.rsplit('/').next());
    // A group in the network interface, else one of the instance: EC2 takes only one of the two.
    let interface = data.network_interfaces().first();
    let groups = interface.map(|interface| interface.groups()).filter(|groups| !groups.is_empty());
    let metadata = data.metadata_options();
    let root = data.block_device_mappings().first().and_then(|device| device.ebs());
    let of_instances =
        data.tag_specifications().iter().find(|tags| tags.resource_type() == Some(&ResourceType::Instance));
    Version {
        number: version.version_number.unwrap_or_default(),
        key_pair: data.key_name.clone(),
        profile: profile.and_then(|profile| profile.name()).or(by_arn).map(str::to_owned),
        security_groups: groups.unwrap_or(data.security_group_ids()).to_vec(),
        public_ip: interface.and_then(|interface| interface.associate_public_ip_address()),
        tokens_required: metadata.and_then(|options| options.http_tokens())
            == Some(&LaunchTemplateHttpTokensState::Required),
        hop_limit: metadata.and_then(|options| options.http_put_response_hop_limit()),
        encrypted: root.and_then(|ebs| ebs.encrypted()) == Some(true),
        credits: data.credit_specification().and_then(|credits| credits.cpu_credits()).map(str::to_owned),
        user_data: user_data::decode(data.user_data().unwrap_or_default()),
        tags: of_instances.map_or_else(Tags::new, |tags| tags_of(tags.tags())),
    }
}
