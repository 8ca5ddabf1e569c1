//! The dependencies between resources. Creation follows these edges, deletion goes against them.

use crate::stack::address::Address;

/// Whether `address` directly depends on `other`.
pub fn needs(address: Address, other: Address) -> bool {
    match address {
        Address::Dlq
        | Address::ThumbnailsBucket
        | Address::CodeBucket
        | Address::Role
        | Address::SecurityGroup
        | Address::S3Endpoint
        | Address::LogGroup
        | Address::Topic
        | Address::Dashboard => false,
        // The redrive policy names the dead-letter queue.
        Address::Queue => other == Address::Dlq,
        Address::Binary => other == Address::CodeBucket,
        Address::InstanceProfile => other == Address::Role,
        Address::LaunchTemplate => matches!(other, Address::InstanceProfile | Address::SecurityGroup),
        Address::Instance(_) => worker_needs(other),
        Address::ScalingGroup => other == Address::LaunchTemplate || worker_needs(other),
        Address::ScalingPolicy(_) => other == Address::ScalingGroup,
        Address::Alert(_) => other == Address::Topic,
        Address::Alarm(policy) => other == Address::ScalingPolicy(policy),
        // The queue's policy lets S3 send.
        Address::Trigger(_) => other == Address::Queue,
    }
}

/// Whether a worker needs this when it starts.
fn worker_needs(other: Address) -> bool {
    matches!(
        other,
        Address::Queue
            | Address::Dlq
            | Address::ThumbnailsBucket
            | Address::Binary
            | Address::CodeBucket
            | Address::Role
            | Address::InstanceProfile
            | Address::SecurityGroup
            | Address::S3Endpoint
            | Address::LogGroup
            | Address::Topic
    )
}

/// Whether `new` takes over the work of `old`, which is deleted when `new` works: between `count` and `[scaling]`.
pub fn takes_over(new: Address, old: Address) -> bool {
    matches!((new, old), (Address::ScalingGroup, Address::Instance(_)) | (Address::Instance(_), Address::ScalingGroup))
}

/// Whether `other` must be deleted before `address`, because it depends on it. SQS allows deleting a dead-letter queue that
/// a queue still names, and each deletion takes a minute, so these two are deleted in parallel.
pub fn outlives(address: Address, other: Address) -> bool {
    needs(other, address) && (address, other) != (Address::Dlq, Address::Queue)
}
