//! Whether instances can be launched: the program, the type, the image, the key pair and the network. Pure.

use super::Check;
use crate::config::Config;
use crate::config::image::Arch;
use crate::stack::resources::binary::{Binary, elf};
use crate::stack::{LaunchOptions, Observed};

/// Where a group's or the instances' limits are; thumb makes no call to Service Quotas.
const QUOTA_HINT: &str = "`aws service-quotas get-service-quota --service-code ec2 --quota-code L-1216C47A` tells the on-demand vCPUs, \
                          L-34B43A08 those of Spot";

/// `binary`: the executable that instances run, or why it cannot be read.
pub fn checks(
    config: &Config,
    observed: &Observed,
    options: &LaunchOptions,
    binary: &Result<Binary, String>,
) -> Vec<Check> {
    if config.scaling.is_none() && config.instance.count == 0 {
        return vec![Check::not_checked("launching", "no instance is declared: `thumb work` runs elsewhere")];
    }
    vec![
        program(config, options, binary),
        kind(config, options),
        match &observed.vpc {
            Ok(vpc) => Check::ok("VPC", vpc),
            Err(why) => Check::failed("VPC", why, "set `subnet` in [instance], or create a VPC"),
        },
        Check { hint: Some(QUOTA_HINT.to_owned()), ..Check::not_checked("quotas", "thumb does not ask for them") },
    ]
}

/// Whether the executable starts on the instances.
fn program(config: &Config, options: &LaunchOptions, binary: &Result<Binary, String>) -> Check {
    const NAME: &str = "program";
    let binary = match binary {
        Ok(binary) => binary,
        Err(why) => return Check::failed(NAME, first_line(why), "`binary` in [instance] names the file"),
    };
    let built_for = binary.executable.arch;
    let arch = match &options.offers {
        // A group has the types of the executable's kind.
        Some(offers) if offers.types.iter().any(|offer| offer.arch == Some(built_for)) => Ok(built_for),
        Some(_) => Err(format!("none of the `types` in [scaling] has CPUs for it ({built_for})")),
        None => options.arch.clone(),
    };
    let check = |arch: Arch| elf::check(&binary.executable, arch, &config.instance.image);
    match arch.map(check) {
        Ok(Ok(())) => Check::ok(NAME, format!("{built_for}, starts on {}", config.instance.image)),
        Ok(Err(unfit)) => Check::failed(NAME, unfit.to_string(), unfit.hint()),
        Err(why) => Check::not_checked(NAME, why),
    }
}

/// The type, the image and the key pair.
fn kind(config: &Config, options: &LaunchOptions) -> Check {
    const NAME: &str = "launching";
    let LaunchOptions { arch, ami, offers, key_pair, public_address: _, source_warnings: _ } = options;
    let mut missing: Vec<&String> = key_pair.as_ref().err().into_iter().collect();
    let what = match offers {
        Some(offers) => {
            missing.extend(offers.subnets.as_ref().err());
            missing.extend(offers.images.iter().filter_map(|(_, image)| image.as_ref().err()));
            let types: Vec<&str> = offers.types.iter().map(|offer| &*offer.name).collect();
            types.join(", ")
        }
        None => {
            // Without the type, there is no image either.
            missing.extend(arch.as_ref().err().or(ami.as_ref().err()));
            config.instance.instance_type.clone()
        }
    };
    match &missing[..] {
        [] if what.is_empty() => {
            Check::failed(NAME, "the region has none of the declared instance types", "change `types` in [scaling]")
        }
        [] => Check::ok(NAME, format!("{what}, {}", config.instance.image)),
        [why, ..] => Check::failed(NAME, *why, "change it in thumb.toml"),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
