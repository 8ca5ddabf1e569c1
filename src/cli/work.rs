//! `thumb work`: takes requests off the queue and makes the thumbnails.

use argh::FromArgs;

use super::Global;
use crate::failure::Result;

/// Take thumbnail requests off the queue: photo from S3, thumbnail to S3.
#[derive(FromArgs)]
#[argh(subcommand, name = "work", help_triggers("-h", "--help"))]
pub struct Args {
    /// return when the queue has been empty for a while
    #[argh(switch)]
    drain: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<()> {
    let _ = (args.drain, global.load_config()?);
    Ok(())
}
