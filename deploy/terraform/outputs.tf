output "queue_url" {
  description = "base_url of the input"
  value       = aws_sqs_queue.this.url
}

output "dead_letters_url" {
  description = "Messages that could not be delivered"
  value       = aws_sqs_queue.dead_letters.url
}

output "bucket_name" {
  description = "Have the logs written here; null with existing buckets"
  value       = one(aws_s3_bucket.this[*].id)
}

output "reader_policy_arn" {
  description = "Attach it to the user or role that the collector runs as"
  value       = aws_iam_policy.reader.arn
}

output "role_arn" {
  description = "aws_cross_account_role of the configuration"
  value       = one(aws_iam_role.reader[*].arn)
}
