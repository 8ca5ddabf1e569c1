//! The permissions of `[logs]`, `[notify]` and `[dashboard]`: the log group, the topic, the alarms and the dashboard.

use serde_json::Value;

use super::{Stack, allow, when};
use crate::config::Config;

impl Stack<'_> {
    /// Calls that observe and take no resource, or a prefix of names.
    pub(super) fn describe_monitoring(&self) -> Vec<&'static str> {
        let subscriptions = self.config.notify.is_some().then_some("sns:GetSubscriptionAttributes");
        std::iter::once("logs:DescribeLogGroups").chain(subscriptions).collect()
    }

    /// The other calls that observe, also without `[logs]` and `[notify]`: it may have been there before.
    pub(super) fn read_monitoring(&self, statements: &mut Vec<Value>) {
        statements.push(allow("ReadLogGroup", &["logs:ListTagsForResource"], &self.log_group));
        let read = ["sns:ListSubscriptionsByTopic", "sns:ListTagsForResource"];
        statements.push(allow("ReadTopic", &read, &[&self.topic]));
        statements.push(allow("ReadDashboard", &["cloudwatch:GetDashboard"], &[self.dashboard()]));
    }

    /// The calls that create and update.
    pub(super) fn make_monitoring(&self, statements: &mut Vec<Value>) {
        let Config { logs, notify, scaling, .. } = self.config;
        let mut make = vec!["logs:DeleteLogGroup", "logs:TagResource", "logs:UntagResource"];
        if logs.is_some() {
            make.extend(["logs:CreateLogGroup", "logs:PutRetentionPolicy"]);
        }
        statements.push(allow("MakeLogGroup", &make, &self.log_group));
        let mut make = vec!["sns:DeleteTopic", "sns:TagResource", "sns:UntagResource"];
        if notify.is_some() {
            make.extend(["sns:CreateTopic", "sns:Subscribe"]);
            // They take no resource (Service Authorization Reference, "Amazon SNS").
            let change = ["sns:SetSubscriptionAttributes", "sns:Unsubscribe"];
            statements.push(self.in_region(allow("ChangeSubscriptions", &change, &["*"])));
        }
        statements.push(allow("MakeTopic", &make, &[&self.topic]));
        let mut make = vec!["cloudwatch:DeleteDashboards"];
        if self.config.dashboard {
            make.extend(["cloudwatch:PutDashboard", "cloudwatch:TagResource", "cloudwatch:UntagResource"]);
        }
        statements.push(allow("MakeDashboard", &make, &[self.dashboard()]));
        if scaling.is_some() || notify.is_some() {
            let make = ["cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"];
            statements.push(allow("MakeAlarms", &make, &self.alarm_arns()));
        }
    }

    /// The calls that delete and release; the alarms' are those of [`super::scaling::DELETE`].
    pub(super) fn delete_monitoring(&self, statements: &mut Vec<Value>) {
        statements.push(allow("DeleteLogGroup", &["logs:DeleteLogGroup", "logs:UntagResource"], &self.log_group));
        statements.push(allow("DeleteTopic", &["sns:DeleteTopic", "sns:UntagResource"], &[&self.topic]));
        let delete = ["cloudwatch:DeleteDashboards", "cloudwatch:UntagResource"];
        statements.push(allow("DeleteDashboard", &delete, &[self.dashboard()]));
    }

    fn dashboard(&self) -> String {
        self.location.dashboard_arn(&self.config.dashboard_name(&self.location.region))
    }

    /// `thumb logs`.
    pub(super) fn logs(&self, statements: &mut Vec<Value>) {
        statements.push(allow("ReadLogs", &["logs:FilterLogEvents"], &self.log_group));
        statements.push(self.in_region(allow("FindInstances", &["ec2:DescribeInstances"], &["*"])));
        let console = allow("ReadConsole", &["ec2:GetConsoleOutput"], &[self.ec2("instance/*")]);
        statements.push(when(console, self.ours()));
    }
}
