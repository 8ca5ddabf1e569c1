//! Evaluates metric math, for the tests of alarms.

use std::collections::BTreeMap;

use super::Formula;

/// Minutes of metrics, by the name of the metric; `None`: there was no data.
pub type Minute = BTreeMap<&'static str, Option<f64>>;

/// Evaluates metric math, as far as the rules use it: IF, FILL, AND, comparisons and arithmetic ("Using math expressions with
/// CloudWatch metrics"). `None`: a metric without data, outside of FILL.
struct Evaluator<'a> {
    words: Vec<String>,
    at: usize,
    values: &'a BTreeMap<String, Option<f64>>,
}

pub fn evaluate(formula: &Formula, minute: &Minute) -> Option<f64> {
    let values = formula
        .metrics
        .iter()
        .map(|metric| {
            let key: &str = &metric.name;
            (metric.id.clone(), *minute.get(key).unwrap_or_else(|| panic!("no {key} in the minute")))
        })
        .collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for c in formula.expression.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | '.') {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c != ' ' {
            words.push(c.to_string());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    let mut evaluator = Evaluator { words, at: 0, values: &values };
    let value = evaluator.and();
    assert_eq!(evaluator.at, evaluator.words.len(), "all of {} was read", formula.expression);
    value
}

impl Evaluator<'_> {
    fn next_is(&mut self, word: &str) -> bool {
        let is = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, word: &str) {
        assert!(self.next_is(word), "{word} at {:?}", &self.words[self.at..]);
    }

    fn and(&mut self) -> Option<f64> {
        let mut value = self.comparison();
        while self.next_is("AND") {
            let other = self.comparison();
            value = value.zip(other).map(|(a, b)| f64::from(a != 0.0 && b != 0.0));
        }
        value
    }

    fn comparison(&mut self) -> Option<f64> {
        let value = self.sum();
        if self.next_is("<") {
            let other = self.sum();
            return value.zip(other).map(|(a, b)| f64::from(a < b));
        }
        if self.next_is(">") {
            if self.next_is("=") {
                let other = self.sum();
                return value.zip(other).map(|(a, b)| f64::from(a >= b));
            }
            let other = self.sum();
            return value.zip(other).map(|(a, b)| f64::from(a > b));
        }
        value
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product();
        loop {
            if self.next_is("+") {
                let other = self.product();
                value = value.zip(other).map(|(a, b)| a + b);
            } else if self.next_is("-") {
                let other = self.product();
                value = value.zip(other).map(|(a, b)| a - b);
            } else {
                return value;
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.factor();
        loop {
            if self.next_is("*") {
                let other = self.factor();
                value = value.zip(other).map(|(a, b)| a * b);
            } else if self.next_is("/") {
                // A division by zero has no result.
                let other = self.factor().filter(|other| *other != 0.0);
                value = value.zip(other).map(|(a, b)| a / b);
            } else {
                return value;
            }
        }
    }

    fn factor(&mut self) -> Option<f64> {
        let word = self.words[self.at].clone();
        self.at += 1;
        match word.as_str() {
            "(" => {
                let value = self.and();
                self.expect(")");
                value
            }
            "IF" => {
                self.expect("(");
                let condition = self.and();
                self.expect(",");
                let yes = self.and();
                self.expect(",");
                let no = self.and();
                self.expect(")");
                condition.and_then(|condition| if condition != 0.0 { yes } else { no })
            }
            "FILL" => {
                self.expect("(");
                let value = self.and();
                self.expect(",");
                let otherwise = self.and();
                self.expect(")");
                value.or(otherwise)
            }
            number if number.starts_with(|c: char| c.is_ascii_digit()) => Some(number.parse().unwrap()),
            name => *self.values.get(name).unwrap_or_else(|| panic!("no metric {name}")),
        }
    }
}
