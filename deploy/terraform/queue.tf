# The queue, its dead letters, and the alarm on them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  suffix  = var.fifo ? ".fifo" : ""
  account = data.aws_caller_identity.current.account_id
  tags    = { usedBy = "aws-to-devo" }
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead${local.suffix}"
  fifo_queue                = var.fifo
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue" "this" {
  name                        = "${var.name}${local.suffix}"
  fifo_queue                  = var.fifo
  content_based_deduplication = var.fifo
  message_retention_seconds   = 1209600
  receive_wait_time_seconds   = 20
  visibility_timeout_seconds  = var.visibility_timeout
  sqs_managed_sse_enabled     = true
  tags                        = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 20
  })
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Announce"
      Effect    = "Allow"
      Principal = { Service = local.by_rule ? "events.amazonaws.com" : "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.this.arn
      Condition = merge(
        local.by_rule ? { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.this[*].arn } } : {},
        local.by_rule ? {} : { StringEquals = { "aws:SourceAccount" = local.account } },
      )
    }]
  })
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "aws-to-devo could not deliver messages of ${var.name}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic == null ? [] : [var.alarm_topic]
  tags                = local.tags
}
