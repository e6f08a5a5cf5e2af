# What the collector reads, as a policy, and on request the role that it assumes.

locals {
  queues = [
    {
      Sid    = "ReadQueues"
      Effect = "Allow"
      Action = [
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
      ]
      Resource = [aws_sqs_queue.this.arn]
    },
    {
      Sid      = "CountDeadLetters"
      Effect   = "Allow"
      Action   = ["sqs:GetQueueAttributes"]
      Resource = [aws_sqs_queue.dead_letters.arn]
    },
  ]
  objects = length(local.places) == 0 ? [] : [{
    Sid      = "ReadObjects"
    Effect   = "Allow"
    Action   = concat(["s3:GetObject"], var.versioned ? ["s3:GetObjectVersion"] : [])
    Resource = [for place in local.places : "${local.bucket_arn}${place.name}/${place.prefix}*"]
  }]
  list = length(local.places) == 0 || !(var.list || var.audit) ? [] : [{
    Sid      = "ListBuckets"
    Effect   = "Allow"
    Action   = concat(["s3:ListBucket"], var.audit ? ["s3:GetBucketNotification"] : [])
    Resource = [for place in local.places : "${local.bucket_arn}${place.name}"]
  }]
  decrypt = length(var.kms_keys) == 0 ? [] : [{
    Sid      = "Decrypt"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = var.kms_keys
  }]
}

resource "aws_iam_policy" "reader" {
  name_prefix = "${var.name}-"
  description = "What aws-to-devo reads"
  tags        = local.tags

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.queues, local.objects, local.list, local.decrypt, var.statements)
  })
}

resource "aws_iam_role" "reader" {
  count       = var.role == null ? 0 : 1
  name        = var.role.name
  path        = var.role.path
  description = "Assumed by aws-to-devo"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge(
      { Effect = "Allow", Principal = { AWS = var.role.trusts }, Action = "sts:AssumeRole" },
      var.role.external_id == null ? {} : {
        Condition = { StringEquals = { "sts:ExternalId" = var.role.external_id } }
      },
    )]
  })
}

resource "aws_iam_role_policy_attachment" "reader" {
  count      = var.role == null ? 0 : 1
  role       = aws_iam_role.reader[0].name
  policy_arn = aws_iam_policy.reader.arn
}
