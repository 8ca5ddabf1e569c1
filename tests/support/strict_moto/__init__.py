"""The AWS emulator moto, made to refuse and to misbehave where AWS does and moto does not.

One process: moto runs inside it, and every request passes a list of rules before and after moto sees it; what no rule touches
goes through unchanged. It plays what moto lacks and thumb needs: Auto Scaling groups that launch and replace instances, instance
refreshes, scaling policies that alarms execute, the delivery of S3's events under the queue's policy. Each rule's docstring cites
the AWS page that it follows. `GET /_strict-moto/rules` shows the rules' options, and `PUT` changes them while it runs.

tests/support/moto.rs starts it, with `--set RULE.OPTION=JSON` for what a test wants to go wrong.
"""
