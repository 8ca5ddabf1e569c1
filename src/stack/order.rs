//! The dependencies between resources. Creation follows these edges, deletion goes against them.

use crate::stack::address::Address;

/// Whether `address` directly depends on `other`.
pub fn needs(address: Address, other: Address) -> bool {
    match address {
        Address::Dlq | Address::ThumbnailsBucket | Address::CodeBucket | Address::Role | Address::SecurityGroup => {
            false
        }
        // The redrive policy names the dead-letter queue.
        Address::Queue => other == Address::Dlq,
        Address::Binary => other == Address::CodeBucket,
        Address::InstanceProfile => other == Address::Role,
        // The worker needs all of these when it starts.
        Address::Instance(_) => matches!(
            other,
            Address::Queue
                | Address::Dlq
                | Address::ThumbnailsBucket
                | Address::Binary
                | Address::CodeBucket
                | Address::Role
                | Address::InstanceProfile
                | Address::SecurityGroup
        ),
    }
}

/// Whether `other` must be deleted before `address`, because it depends on it. SQS allows deleting a dead-letter queue that
/// a queue still names, and each deletion takes a minute, so these two are deleted in parallel.
pub fn outlives(address: Address, other: Address) -> bool {
    needs(other, address) && (address, other) != (Address::Dlq, Address::Queue)
}
