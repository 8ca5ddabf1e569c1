//! The account: which one it is, whether this test may use it, and what earlier runs left there.

use std::time::{Duration, SystemTime};

use thumb::aws::Clients;

use crate::stack::{PREFIX, Stack};

/// A stack of an earlier run is another run's until it is as old as no run becomes.
const STALE: Duration = Duration::from_secs(2 * 60 * 60);
/// Stacks that one sweep deletes.
const MAX_SWEPT: usize = 10;

pub struct Account {
    pub id: String,
    pub clients: Clients,
    /// Clients of another region, for a source bucket there.
    pub far: Clients,
    /// An emulator's address; none: this is AWS.
    pub endpoint: Option<String>,
}

impl Account {
    /// The account of the environment's credentials, if THUMB_AWS_ACCOUNT names it: nobody runs this by mistake.
    pub async fn connect() -> Self {
        let clients = Clients::connect(None).await.expect("a region is set");
        let other = std::env::var("THUMB_AWS_OTHER_REGION").unwrap_or_else(|_| {
            if clients.region == "us-west-2" { "us-east-1".to_owned() } else { "us-west-2".to_owned() }
        });
        let far = Clients::connect(Some(&other)).await.expect("the other region is set");
        let identity = clients.sts.get_caller_identity().send().await.expect("credentials for AWS");
        let id = identity.account().unwrap_or_default().to_owned();
        let meant = std::env::var("THUMB_AWS_ACCOUNT").expect("THUMB_AWS_ACCOUNT names the account to test in");
        assert_eq!(id, meant, "the credentials are for another account than THUMB_AWS_ACCOUNT");
        println!("account {id}, {} and {other}", clients.region);
        Self { id, endpoint: clients.endpoint.clone(), clients, far }
    }

    pub fn is_emulator(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Deletes the stacks of runs that were killed: their source bucket is the first thing made and the last deleted.
    pub async fn sweep(&self) {
        let buckets = self.clients.s3.list_buckets().prefix(PREFIX).send().await.expect("s3:ListAllMyBuckets");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stale = buckets.buckets().iter().filter_map(|bucket| {
            let stack = bucket.name()?.strip_suffix("-source")?;
            let age = now.as_secs().checked_sub(u64::try_from(bucket.creation_date()?.secs()).ok()?)?;
            (stack.starts_with(PREFIX) && age > STALE.as_secs()).then(|| stack.to_owned())
        });
        for name in stale.take(MAX_SWEPT) {
            println!("an earlier run left the stack {name}: deleting it");
            if let Err(left) = Stack::named(self, name).clean_up(self).await {
                eprintln!("still there: {left}");
            }
        }
    }
}
