//! Which resource needs which: the one place that says so. Making goes along these edges, taking away against them.

use crate::stack::address::Address;

/// Whether `address` needs `other` to be there, directly.
pub fn needs(address: Address, other: Address) -> bool {
    match address {
        Address::Dlq | Address::ThumbnailsBucket | Address::CodeBucket | Address::Role | Address::SecurityGroup => {
            false
        }
        // The redrive policy names the dead-letter queue.
        Address::Queue => other == Address::Dlq,
        Address::Binary => other == Address::CodeBucket,
        Address::InstanceProfile => other == Address::Role,
        // The worker looks for all of it when it starts.
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

/// Whether `address` must stay until `other` has gone, because that one needs it. SQS lets a dead-letter queue go while a
/// queue still names it, and takes a minute for each: these two go side by side.
pub fn outlives(address: Address, other: Address) -> bool {
    needs(other, address) && (address, other) != (Address::Dlq, Address::Queue)
}
