//! The same permissions in fewer characters, for a policy that would be longer than IAM takes. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The same permissions in fewer characters: statements about the same resources under the same condition become one, and have no
/// Sid, which IAM does not need.
pub fn merged(statements: Vec<Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for mut statement in statements {
        statement.as_object_mut().map(|fields| fields.remove("Sid"));
        let same =
            |other: &&mut Value| ["Effect", "Resource", "Condition"].iter().all(|key| other[*key] == statement[*key]);
        let Some(other) = all.iter_mut().find(same) else {
            all.push(statement);
            continue;
        };
        let words = |value: &Value| match value {
            Value::Array(words) => words.clone(),
            word => vec![word.clone()],
        };
        let actions = [words(&other["Action"]), words(&statement["Action"])].concat();
        let actions: BTreeSet<&str> = actions.iter().filter_map(Value::as_str).collect();
        let actions = json!(actions);
        other["Action"] = actions;
    }
    packed(all)
}

/// Statements of different services as one, where both name their resources: an action of one service is never about a resource
/// of another, so that the whole allows the same.
fn packed(statements: Vec<Value>) -> Vec<Value> {
    let words = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(words) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            word => word.as_str().map(str::to_owned).into_iter().collect(),
        }
    };
    let services = |statement: &Value| -> BTreeSet<String> {
        words(&statement["Action"]).iter().filter_map(|action| Some(action.split_once(':')?.0.to_owned())).collect()
    };
    let named = |statement: &Value| words(&statement["Resource"]).iter().all(|resource| resource != "*");
    let mut all: Vec<Value> = Vec::new();
    for statement in statements {
        let fits = |other: &&mut Value| {
            let same = ["Effect", "Condition"].iter().all(|key| other[*key] == statement[*key]);
            same && named(other) && named(&statement) && services(other).is_disjoint(&services(&statement))
        };
        let Some(other) = all.iter_mut().find(fits) else {
            all.push(statement);
            continue;
        };
        for key in ["Action", "Resource"] {
            let both = [words(&other[key]), words(&statement[key])].concat();
            other[key] = json!(both);
        }
    }
    all
}

/// The Describe calls of a service that are about everything anyway, in one word: they read what there is and change nothing.
pub fn describing(mut statement: Value) -> Value {
    if statement["Resource"] != json!(["*"]) {
        return statement;
    }
    let actions = statement["Action"].as_array().cloned().unwrap_or_default();
    let short = |action: &Value| match action.as_str().and_then(|action| action.split_once(":Describe")) {
        Some((service, _)) => format!("{service}:Describe*"),
        None => action.as_str().unwrap_or_default().to_owned(),
    };
    let actions: BTreeSet<String> = actions.iter().map(short).collect();
    statement["Action"] = json!(actions);
    statement
}
