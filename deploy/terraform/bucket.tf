# The announcements: a new bucket's own notifications; rules for existing buckets, and for a FIFO queue, which S3 does
# not write to.

locals {
  new_bucket = length(var.buckets) == 0 && var.event_pattern == null
  by_rule    = var.fifo || !local.new_bucket
  places     = local.new_bucket ? [{ name = aws_s3_bucket.this[0].id, prefix = "" }] : var.buckets
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::"
  writers    = distinct(flatten([for service in var.services : try(local.writers_of[service], [])]))

  patterns = !local.by_rule ? [] : var.event_pattern != null ? [var.event_pattern] : [
    for place in local.places : jsonencode({
      source        = ["aws.s3"]
      "detail-type" = ["Object Created"]
      detail = merge(
        { bucket = { name = [place.name] } },
        place.prefix == "" ? {} : { object = { key = [{ prefix = place.prefix }] } },
      )
    })
  ]
}

resource "aws_s3_bucket" "this" {
  count = local.new_bucket ? 1 : 0
  # Terraform never deletes it, as CloudFormation keeps it: it has logs.
  bucket_prefix = substr("${lower(replace(var.name, "_", "-"))}-", 0, 37)
  force_destroy = false
  tags          = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  count  = local.new_bucket ? 1 : 0
  bucket = aws_s3_bucket.this[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  count  = local.new_bucket ? 1 : 0
  bucket = aws_s3_bucket.this[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  count                   = local.new_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.this[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count  = local.new_bucket && var.expire_days != null ? 1 : 0
  bucket = aws_s3_bucket.this[0].id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = var.expire_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# S3 tests the queue when the notification is created.
resource "aws_s3_bucket_notification" "this" {
  count       = local.new_bucket ? 1 : 0
  bucket      = aws_s3_bucket.this[0].id
  eventbridge = var.fifo
  depends_on  = [aws_sqs_queue_policy.this]

  dynamic "queue" {
    for_each = var.fifo ? [] : [aws_sqs_queue.this.arn]
    content {
      queue_arn = queue.value
      events    = ["s3:ObjectCreated:*"]
    }
  }
}

# Allows AWS's own services to write, for this account only, and refuses plain HTTP.
resource "aws_s3_bucket_policy" "this" {
  count      = local.new_bucket && length(local.writers) > 0 ? 1 : 0
  bucket     = aws_s3_bucket.this[0].id
  depends_on = [aws_s3_bucket_public_access_block.this]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for name in local.writers : {
        Sid       = "${name}Looks"
        Effect    = "Allow"
        Principal = { Service = local.writer[name].principal }
        Action    = local.writer[name].looks
        Resource  = aws_s3_bucket.this[0].arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      } if length(local.writer[name].looks) > 0],
      [for name in local.writers : {
        Sid       = "${name}Writes"
        Effect    = "Allow"
        Principal = { Service = local.writer[name].principal }
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.this[0].arn}/*"
        Condition = { StringEquals = merge(
          { "aws:SourceAccount" = local.account },
          local.writer[name].gives_control ? { "s3:x-amz-acl" = "bucket-owner-full-control" } : {},
        ) }
      }],
      [{
        Sid       = "OnlyTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this[0].arn, "${aws_s3_bucket.this[0].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
  })
}

# A trail of all regions' management events. Its bucket must accept it before it is created.
resource "aws_cloudtrail" "this" {
  count                         = local.new_bucket && var.trail ? 1 : 0
  name                          = var.name
  s3_bucket_name                = aws_s3_bucket.this[0].id
  enable_logging                = true
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true
  tags                          = local.tags
  depends_on                    = [aws_s3_bucket_policy.this]

  lifecycle {
    precondition {
      condition     = contains(local.writers, "CloudTrail")
      error_message = "A trail needs a service of CloudTrail's among the services, such as aws_sqs_cloudtrail."
    }
  }
}

# Existing buckets: turn on EventBridge in the properties of each, or its rule gets nothing.
resource "aws_cloudwatch_event_rule" "this" {
  count         = length(local.patterns)
  description   = "What ${var.name} gets"
  event_pattern = local.patterns[count.index]
  tags          = local.tags
}

resource "aws_cloudwatch_event_target" "this" {
  count = length(local.patterns)
  rule  = aws_cloudwatch_event_rule.this[count.index].name
  arn   = aws_sqs_queue.this.arn

  dynamic "sqs_target" {
    for_each = var.fifo ? ["aws-to-devo"] : []
    content {
      message_group_id = sqs_target.value
    }
  }
}
