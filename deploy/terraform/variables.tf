variable "name" {
  description = "Name of the queue, without .fifo: that of base_url, or of the service's queue name"
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,70}$", var.name))
    error_message = "Up to 70 letters, digits, - and _."
  }
}

variable "fifo" {
  description = "The queue is a FIFO queue: its configured name ends with .fifo"
  type        = bool
  default     = false
}

variable "services" {
  description = "Services of the queue, as in the configuration. The new bucket lets the AWS services write that deliver their logs"
  type        = list(string)
  default     = []
}

variable "visibility_timeout" {
  description = "sqs_visibility_timeout of the configuration, in seconds"
  type        = number
  default     = 300

  validation {
    condition     = var.visibility_timeout >= 30 && var.visibility_timeout <= 43200
    error_message = "30 to 43200 seconds."
  }
}

variable "buckets" {
  description = "Existing buckets whose new objects are announced through EventBridge, with a prefix of keys (\"\" for all). Without any, a bucket is created"
  type = list(object({
    name   = string
    prefix = optional(string, "")
  }))
  default = []

  validation {
    condition     = alltrue([for bucket in var.buckets : can(regex("^([^*?$]|\\$[^{])*$", bucket.prefix))])
    error_message = "A prefix contains no *, no ? and no variable: they have a meaning of their own in policies."
  }
}

variable "event_pattern" {
  description = "Pattern (as JSON) of the EventBridge events that are the logs themselves, for service-events-all and sqs-cloudwatch-consumer: {\"source\": [\"aws.securityhub\"]}. Then there is no bucket"
  type        = string
  default     = null
}

variable "versioned" {
  description = "The buckets are versioned"
  type        = bool
  default     = false
}

variable "list" {
  description = "Allow listing the buckets: for backfill, and to distinguish a missing object from a forbidden one"
  type        = bool
  default     = false
}

variable "audit" {
  description = "Allow what aws-to-devo audit needs: listing the buckets, and reading their notification configuration"
  type        = bool
  default     = false
}

variable "kms_keys" {
  description = "ARNs of your KMS keys that encrypt a bucket or queue"
  type        = list(string)
  default     = []
}

variable "expire_days" {
  description = "The new bucket deletes its objects after this many days; null keeps them"
  type        = number
  default     = null
}

variable "trail" {
  description = "Create a trail that writes to the new bucket"
  type        = bool
  default     = false
}

variable "alarm_topic" {
  description = "ARN of the SNS topic that the alarm on dead letters notifies"
  type        = string
  default     = null
}

variable "role" {
  description = "The role that the collector assumes to read: its name, its path, who may assume it (ARNs), and aws_external_id. Without it, attach the policy to the collector's own role"
  type = object({
    name        = string
    path        = optional(string, "/")
    trusts      = list(string)
    external_id = optional(string)
  })
  default = null
}

variable "statements" {
  description = "Further statements of the reader's policy, such as those that aws-to-devo iam-policy prints for polled services"
  type        = any
  default     = []
}
