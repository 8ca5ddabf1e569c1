//! Launches, on paused time and with EC2 as a function.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::aws::fake::{Fake, ec2_error};
use crate::config::image::Image;
use crate::stack::resources::Tags;
use crate::stack::resources::instance::Ami;
use crate::stack::resources::tests::{TestContext, silent};

pub(in crate::stack::resources::instance) fn launch() -> Launch {
    Launch {
        image: Image::Ubuntu2404,
        ami: Ami { id: "ami-1".into(), name: "ubuntu".into(), root_device: "/dev/sda1".into(), root_gib: 8 },
        instance_type: "t3.micro".into(),
        key_pair: None,
        profile: "cats-worker".into(),
        profile_id: ProfileId::New,
        security_group: "cats-worker".into(),
        security_group_id: Some("sg-1".into()),
        vpc_id: "vpc-1".into(),
        subnet: None,
        public_ip: true,
        public_address: PublicAddress::Yes,
        credits: Some(Credits::Standard),
        user_data: "#!/usr/bin/python3".into(),
        code_bucket: "cats-code".into(),
        tags: Tags::new(),
    }
}

fn instance(id: &str, state: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><code>16</code><name>{state}</name></instanceState>\
         <ipAddress>203.0.113.9</ipAddress></item>"
    )
}

pub(in crate::stack::resources::instance) fn described(id: &str, state: &str) -> Option<(u16, String)> {
    let set = format!("<item><instancesSet>{}</instancesSet></item>", instance(id, state));
    Some((
        200,
        format!("<DescribeInstancesResponse><reservationSet>{set}</reservationSet></DescribeInstancesResponse>"),
    ))
}

fn launched(id: &str, state: &str) -> Option<(u16, String)> {
    let set = instance(id, state);
    Some((200, format!("<RunInstancesResponse><instancesSet>{set}</instancesSet></RunInstancesResponse>")))
}

fn parameter<'a>(body: &'a str, name: &str) -> &'a str {
    body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// An EC2 in which the first `spent` tokens of a launch belong to instances that have gone. Of these it answers every
/// other one with the instance, as it does while that one is going. Answers the tokens it was asked with, in their order.
async fn launch_with_spent_tokens(
    spent: usize,
    going: impl Fn(usize) -> bool + Send + 'static,
) -> (Result<(), CallError>, Vec<String>) {
    let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = tokens.clone();
    let mut instances: HashMap<String, usize> = HashMap::new();
    let fake = Fake::new(move |asked| match asked.operation.as_str() {
        "RunInstances" => {
            let token = parameter(&asked.body, "ClientToken").to_owned();
            let round = instances.len();
            let round = *instances.entry(token.clone()).or_insert(round);
            seen.lock().unwrap().push(token);
            let refused = "The client token you have provided is associated with a terminated instance.";
            match round < spent {
                true if going(round) => launched("i-old", "shutting-down"),
                true => ec2_error("IdempotentInstanceTerminated", refused),
                false => launched("i-new", "pending"),
            }
        }
        "DescribeInstances" => described("i-new", "running"),
        other => panic!("{other}"),
    });
    let test = TestContext::new();
    let step = Step::Launch { index: 1, launch: Box::new(launch()), known: Vec::new() };
    let aws = fake.writer().await;
    let result = run(&step, &aws, &test.context(Address::Instance(1), &silent)).await;
    if result.is_ok() {
        assert_eq!(test.outputs.into_facts().running[&1].id, "i-new");
    }
    let tokens = tokens.lock().unwrap().clone();
    (result, tokens)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_spent_leads_to_the_next_one_and_two_applies_agree_on_it() {
    let (result, one) = launch_with_spent_tokens(3, |_| false).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(one.len(), 4);
    assert!(one.iter().all(|token| token.len() == 64), "{one:?}");
    // The other apply asked while two of the old instances were still going, and got them for an answer.
    let (_, other) = launch_with_spent_tokens(3, |round| round != 1).await;
    assert_eq!(one, other);
}

#[tokio::test(start_paused = true)]
async fn spent_tokens_come_to_an_end() {
    let (result, tokens) = launch_with_spent_tokens(usize::MAX, |_| false).await;
    assert_eq!(tokens.len(), MAX_SPENT_TOKENS);
    let error = result.unwrap_err();
    assert!(error.message.starts_with("50 instances with these parameters were launched and terminated"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_will_not_come_is_not_waited_for_and_what_will_is() {
    for (code, message, attempts) in [
        ("InvalidKeyPair.NotFound", "The key pair 'colink' does not exist", 1),
        ("InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist", 1),
        ("InvalidAMIID.NotFound", "The image id 'ami-1' does not exist", 1),
        ("InvalidGroup.NotFound", "The security group 'sg-1' does not exist", 3),
        ("InvalidParameterValue", "Value (cats-worker) for parameter iamInstanceProfile.name is invalid.", 3),
    ] {
        let mut left = 3;
        let fake = Fake::new(move |asked| {
            if asked.operation == "DescribeInstances" {
                return described("i-new", "running");
            }
            left -= 1;
            if left > 0 { ec2_error(code, message) } else { launched("i-new", "pending") }
        });
        let test = TestContext::new();
        let step = Step::Launch { index: 1, launch: Box::new(launch()), known: Vec::new() };
        let aws = fake.writer().await;
        let result = run(&step, &aws, &test.context(Address::Instance(1), &silent)).await;
        assert_eq!(result.is_ok(), attempts > 1, "{code}: {result:?}");
        let asked = fake.calls().iter().filter(|call| *call == "RunInstances").count();
        assert_eq!(asked, attempts, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_launched_with_the_declared_credits() {
    for (credits, sent) in [(Some(Credits::Standard), "standard"), (Some(Credits::Unlimited), "unlimited"), (None, "")]
    {
        let fake = Fake::new(move |asked| match asked.operation.as_str() {
            "RunInstances" => {
                assert_eq!(parameter(&asked.body, "CreditSpecification.CpuCredits"), sent);
                launched("i-new", "pending")
            }
            _ => described("i-new", "running"),
        });
        let test = TestContext::new();
        let launch = Launch { credits, ..launch() };
        let step = Step::Launch { index: 1, launch: Box::new(launch), known: Vec::new() };
        let aws = fake.writer().await;
        run(&step, &aws, &test.context(Address::Instance(1), &silent)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn credits_that_ec2_refuses_to_set_are_an_error_though_it_answers_200() {
    let item = "<item><instanceId>i-1</instanceId><error><code>IncorrectInstanceState</code><message>not now</message>\
                </error></item>";
    let body = format!(
        "<ModifyInstanceCreditSpecificationResponse><successfulInstanceCreditSpecificationSet/><unsuccessfulInstanceCreditSpecificationSet>{item}\
         </unsuccessfulInstanceCreditSpecificationSet></ModifyInstanceCreditSpecificationResponse>"
    );
    let fake = Fake::new(move |_| Some((200, body.clone())));
    let test = TestContext::new();
    let step = Step::SetCredits { id: "i-1".into(), credits: Credits::Unlimited };
    let aws = fake.writer().await;
    let error = run(&step, &aws, &test.context(Address::Instance(1), &silent)).await.unwrap_err();
    assert_eq!(error.to_string(), "ec2:ModifyInstanceCreditSpecification: not now");
}
