variable "name" {
  description = "Prefix of the names of everything that the module makes, such as the pipeline's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "Use 3 to 32 lower-case letters, digits and hyphens. Begin with a letter, and do not end with a hyphen."
  }
}

variable "tags" {
  description = "Tags of everything that the module makes."
  type        = map(string)
  default     = {}
}

# -- Pipeline

variable "pipeline" {
  description = "The text of the pipeline file. Its lake is in the bucket of bucket_name, its store is the table of table_name, and worker.cloudwatch is set. It contains no secret: those are environment variables, see secrets."
  type        = string

  validation {
    condition     = can(yamldecode(var.pipeline).pipeline)
    error_message = "This is not the text of a pipeline file: it must be YAML with a member `pipeline`."
  }

  validation {
    # The text is an environment variable, and a task definition has at most 64 KiB.
    condition     = length(var.pipeline) <= 32768
    error_message = "The pipeline file has more than 32,768 characters: build an image that contains it."
  }
}

variable "image" {
  description = "The image of Weir (Deploy/Dockerfile), best with its digest: REGISTRY/weir@sha256:..."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository of the image; null if the registry is not ECR in this account."
  type        = string
  default     = null

  validation {
    condition     = var.image_repository_arn == null || can(regex("^arn:[a-z-]+:ecr:", var.image_repository_arn))
    error_message = "This is not the ARN of an ECR repository."
  }
}

variable "secrets" {
  description = "Environment variables of the worker by name, with the ARN of a secret of Secrets Manager or a parameter of SSM. The pipeline names the variables: password: {env: NAME}."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[a-z-]+:(secretsmanager|ssm):", arn))])
    error_message = "A secret is the ARN of a secret of Secrets Manager or of a parameter of SSM."
  }
}

variable "pipeline_secrets" {
  description = "ARNs of the secrets of Secrets Manager and parameters of SSM that the pipeline names itself, which a worker fetches and follows when they change: password: {secretsmanager: NAME, key: MEMBER}."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.pipeline_secrets : can(regex("^arn:[a-z-]+:(secretsmanager|ssm):", arn))])
    error_message = "A secret is the ARN of a secret of Secrets Manager or of a parameter of SSM."
  }
}

variable "secret_key_arns" {
  description = "ARNs of the customer managed KMS keys that encrypt the secrets; empty if they use the account's default keys."
  type        = list(string)
  default     = []
}

# -- Storage

variable "bucket_name" {
  description = "Name of the S3 bucket of the lake, which the module makes. The pipeline has lake: {path: s3://NAME/PREFIX}."
  type        = string

  validation {
    # No dots: certificates do not cover names with dots in virtual-host style.
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "Use 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "table_name" {
  description = "Name of the DynamoDB table of the state, which the module makes. The pipeline has store: {dynamodb: NAME}. null: the pipeline has no state table in DynamoDB."
  type        = string
  default     = null

  validation {
    condition     = var.table_name == null || can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "Use 3 to 255 letters, digits, underscores, hyphens and dots."
  }
}

variable "ttl_attribute" {
  description = "Attribute with the time (seconds since 1970) after which DynamoDB may delete an item; null: no TTL. Weir writes no such attribute yet."
  type        = string
  default     = null
}

variable "inputs" {
  description = "Objects outside of the lake that the pipeline reads: files of lookups, captures. Of each the bucket, and what their keys begin with."
  type = list(object({
    bucket = string
    prefix = string
  }))
  default = []

  validation {
    condition     = alltrue([for input in var.inputs : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", input.bucket)) && length(input.prefix) > 0 && !can(regex("[*?]", input.prefix))])
    error_message = "Each input has the name of a bucket, and a prefix without * and ?."
  }
}

variable "input_key_arns" {
  description = "ARNs of the customer managed KMS keys that encrypt the inputs; empty if there are none."
  type        = list(string)
  default     = []
}

variable "noncurrent_days" {
  description = "Days for which deleted and replaced objects of the tables can be restored."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "Use a whole number of days, at least 1."
  }
}

variable "ledger_noncurrent_days" {
  description = "Days for which entries and lane state that Weir has deleted can be restored; null: forever. Weir writes and deletes lane state all the time, so each of these days costs as much as the lane state that is written in a day."
  type        = number
  default     = null

  validation {
    condition     = var.ledger_noncurrent_days == null ? true : var.ledger_noncurrent_days >= 1
    error_message = "Use at least one day."
  }
}

variable "access_log_bucket" {
  description = "Bucket that receives the access log of the lake's bucket; null: no access log."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the state table is protected from deletion, and KMS waits 30 days before it deletes the key."
  type        = bool
  default     = true
}

variable "catalog_database" {
  description = "Database of the Glue Data Catalog in which the worker registers its tables, which the module makes. The pipeline has catalog: {glue: {database: NAME, create: false}}. null: none."
  type        = string
  default     = null

  validation {
    condition     = var.catalog_database == null || can(regex("^[a-z0-9_]{1,255}$", var.catalog_database))
    error_message = "Use lower-case letters, digits and underscores."
  }
}

variable "glue" {
  description = "Registers Delta tables in the Glue Data Catalog with a crawler: the database, the tables' paths in the lake (such as gold/per_minute), and when it runs (a cron expression of Glue). null: not registered."
  type = object({
    database = string
    tables   = list(string)
    schedule = optional(string, "cron(15 * * * ? *)")
  })
  default = null

  validation {
    condition     = var.glue == null || try(length(var.glue.tables) > 0 && alltrue([for table in var.glue.tables : can(regex("^[^_/][^/]*/.+", table))]), false)
    error_message = "Name at least one table by its path in the lake, such as gold/per_minute."
  }
}

# -- Network

variable "vpc_id" {
  description = "The VPC in which the workers run."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the workers, best in several availability zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Name at least one subnet."
  }
}

variable "route_table_ids" {
  description = "Route tables of the subnets, which get the routes to the gateway endpoints of S3 and DynamoDB."
  type        = list(string)
  default     = []
}

variable "gateway_endpoints" {
  description = "Makes gateway endpoints for S3 and DynamoDB. false: the VPC has them already."
  type        = bool
  default     = true
}

variable "interface_endpoints" {
  description = "Services for which the module makes interface endpoints. Without them the subnets need a NAT gateway. Without a NAT gateway: ecr.api, ecr.dkr, logs, and secretsmanager or ssm for secrets."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.interface_endpoints, ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "sts", "kms", "glue", "kinesis-streams"])) == 0
    error_message = "Use some of ecr.api, ecr.dkr, logs, secretsmanager, ssm, sts, kms, glue, kinesis-streams."
  }
}

variable "egress" {
  description = "What the workers connect to, apart from S3, DynamoDB and the interface endpoints: brokers, registries, Redis, and 443 of the NAT gateway's side if there are no interface endpoints."
  type = map(object({
    port = number
    cidr = string
  }))
  default = {}

  validation {
    condition     = alltrue([for rule in values(var.egress) : can(cidrhost(rule.cidr, 0)) && rule.port >= 1 && rule.port <= 65535])
    error_message = "Each rule has a port and a range of addresses in CIDR notation."
  }
}

variable "msk" {
  description = "Access to an Amazon MSK cluster with IAM (sasl: {mechanism: AWS_MSK_IAM}): the cluster's ARN, the topics that are read, the consumer groups, and the topics of sinks. null: the brokers are not MSK, or use SCRAM or TLS."
  type = object({
    cluster_arn = string
    reads       = list(string)
    groups      = list(string)
    writes      = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.msk == null || can(regex("^arn:[a-z-]+:kafka:[^:]+:[0-9]+:cluster/[^/]+/[^/]+$", var.msk.cluster_arn))
    error_message = "This cluster_arn is not the ARN of an MSK cluster."
  }
}

variable "kinesis" {
  description = "Access to a Kinesis stream: its ARN, the app of the pipeline (the table of leases has its name), and the ARN of the customer managed KMS key that encrypts the stream. null: the source is another one."
  type = object({
    stream_arn = string
    app        = string
    key_arn    = optional(string)
  })
  default = null

  validation {
    condition     = var.kinesis == null || can(regex("^arn:[a-z-]+:kinesis:[^:]+:[0-9]+:stream/[A-Za-z0-9_.-]+$", var.kinesis.stream_arn))
    error_message = "This stream_arn is not the ARN of a Kinesis stream."
  }

  validation {
    condition     = var.kinesis == null || can(regex("^[A-Za-z0-9_.-]{3,255}$", var.kinesis.app))
    error_message = "The app is the name of a DynamoDB table: 3 to 255 letters, digits, underscores, hyphens and dots."
  }
}

# -- Service

variable "workers" {
  description = "Smallest and largest number of workers. More workers than partitions read nothing (workers_max of /scale)."
  type = object({
    min = number
    max = number
  })
  default = { min = 2, max = 8 }

  validation {
    # Without a worker no metric exists by which the service could scale up.
    condition     = var.workers.min >= 1 && var.workers.max >= var.workers.min
    error_message = "At least one worker is needed, and max is not less than min."
  }
}

variable "lag_per_worker" {
  description = "Records of lag per worker at which workers are added."
  type        = number
  default     = 50000

  validation {
    condition     = var.lag_per_worker > 0
    error_message = "Use a positive number."
  }
}

variable "cpu" {
  description = "CPU units of a worker: 1024 is one core. Fargate has only some combinations of CPU and memory."
  type        = number
  default     = 1024

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "Fargate has 256, 512, 1024, 2048, 4096, 8192 and 16384 CPU units."
  }
}

variable "memory" {
  description = "Memory of a worker in MiB. worker.memory is three quarters of it by default."
  type        = number
  default     = 4096

  validation {
    condition     = var.memory >= 512 && var.memory <= 122880
    error_message = "Fargate has 512 to 122,880 MiB."
  }
}

variable "architecture" {
  description = "Of the image: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "Use X86_64 or ARM64."
  }
}

variable "stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL, more than worker.drain."
  type        = number
  default     = 60

  validation {
    # Fargate's limit.
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120
    error_message = "Fargate allows 2 to 120 seconds."
  }
}

variable "log_retention_days" {
  description = "Days for which CloudWatch Logs keeps the workers' log."
  type        = number
  default     = 365
}

# -- Alarms

variable "alarm_topic_arns" {
  description = "SNS topics that receive the alarms; empty: alarms only change their state."
  type        = list(string)
  default     = []
}

variable "alarm_lag_records" {
  description = "Lag in records from which WeirLagGrows alarms, if the lag also grows."
  type        = number
  default     = 100000
}
