# One document for each feature. Its actions are those that Tests/EndToEnd/Fixtures/aws_calls.json lists for the calls of the feature.

# lake: {path: s3://...}
data "aws_iam_policy_document" "lake" {
  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.lake.arn}/${local.lake_prefix}*"]
  }

  # No condition on s3:prefix: a GET of a missing object has no prefix, and without this permission S3 answers 403 instead of 404.
  # A worker that asks for the next entry expects 404.
  statement {
    sid       = "Listings"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [aws_s3_bucket.lake.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.weir.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }
  }
}

# lookups: {NAME: {file: s3://...}}, and captures in S3. A look at an object is a listing with its key as the prefix.
data "aws_iam_policy_document" "inputs" {
  count = length(var.inputs) > 0 ? 1 : 0

  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject"]
    resources = [for input in var.inputs : "arn:${local.partition}:s3:::${input.bucket}/${input.prefix}*"]
  }

  statement {
    sid       = "Listings"
    actions   = ["s3:ListBucket"]
    resources = distinct([for input in var.inputs : "arn:${local.partition}:s3:::${input.bucket}"])
  }

  dynamic "statement" {
    for_each = length(var.input_key_arns) > 0 ? [var.input_key_arns] : []

    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

# store: {dynamodb: TABLE}. The module makes the table, so a worker may not.
data "aws_iam_policy_document" "state" {
  count = var.table_name == null ? 0 : 1

  statement {
    sid = "Items"
    actions = [
      "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
      "dynamodb:ConditionCheckItem",
    ]
    resources = [aws_dynamodb_table.state[0].arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.weir.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["dynamodb.${local.region}.amazonaws.com"]
    }
  }
}

# catalog: {glue: DATABASE}. The module makes the database, so a worker may not.
data "aws_iam_policy_document" "catalog" {
  count = var.catalog_database == null ? 0 : 1

  statement {
    sid     = "Tables"
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable"]
    resources = [
      "arn:${local.partition}:glue:${local.region}:${local.account}:catalog",
      aws_glue_catalog_database.catalog[0].arn,
      "arn:${local.partition}:glue:${local.region}:${local.account}:table/${aws_glue_catalog_database.catalog[0].name}/*",
    ]
  }
}

# {secretsmanager: NAME} in the pipeline file.
data "aws_iam_policy_document" "secret_values" {
  count = length(local.pipeline_secrets) > 0 ? 1 : 0

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.pipeline_secrets
  }

  dynamic "statement" {
    for_each = length(var.secret_key_arns) > 0 ? [var.secret_key_arns] : []

    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

# {ssm: NAME} in the pipeline file.
data "aws_iam_policy_document" "parameters" {
  count = length(local.pipeline_parameters) > 0 ? 1 : 0

  statement {
    sid       = "Parameters"
    actions   = ["ssm:GetParameter"]
    resources = local.pipeline_parameters
  }

  dynamic "statement" {
    for_each = length(var.secret_key_arns) > 0 ? [var.secret_key_arns] : []

    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

locals {
  pipeline_secrets    = [for arn in var.pipeline_secrets : arn if can(regex(":secretsmanager:", arn))]
  pipeline_parameters = [for arn in var.pipeline_secrets : arn if can(regex(":ssm:", arn))]
}

locals {
  # arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/ID: topics and groups have the same, with topic/ and group/ in place of cluster/.
  msk_cluster = try(var.msk.cluster_arn, "")
  msk_topics  = replace(local.msk_cluster, ":cluster/", ":topic/")
  msk_groups  = replace(local.msk_cluster, ":cluster/", ":group/")
}

# source: kafka, with sasl: {mechanism: AWS_MSK_IAM}
data "aws_iam_policy_document" "msk_read" {
  count = var.msk == null ? 0 : 1

  statement {
    sid       = "Connect"
    actions   = ["kafka-cluster:Connect"]
    resources = [local.msk_cluster]
  }

  statement {
    sid       = "Topics"
    actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
    resources = [for topic in var.msk.reads : "${local.msk_topics}/${topic}"]
  }

  statement {
    sid       = "Groups"
    actions   = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
    resources = [for group in var.msk.groups : "${local.msk_groups}/${group}"]
  }
}

# sinks: kafka, with sasl: {mechanism: AWS_MSK_IAM}. The producers are idempotent.
data "aws_iam_policy_document" "msk_write" {
  count = length(try(var.msk.writes, [])) > 0 ? 1 : 0

  statement {
    sid       = "Connect"
    actions   = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
    resources = [local.msk_cluster]
  }

  statement {
    sid       = "Topics"
    actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
    resources = [for topic in var.msk.writes : "${local.msk_topics}/${topic}"]
  }
}

# source: {kinesis: {stream: NAME, app: APP}}. The stream is not the module's.
data "aws_iam_policy_document" "kinesis" {
  count = var.kinesis == null ? 0 : 1

  statement {
    sid       = "Stream"
    actions   = ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"]
    resources = [var.kinesis.stream_arn]
  }

  dynamic "statement" {
    for_each = var.kinesis.key_arn == null ? [] : [var.kinesis.key_arn]

    content {
      sid       = "Key"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

# The table of leases has the name of the app, and the first worker makes it.
data "aws_iam_policy_document" "kinesis_leases" {
  count = var.kinesis == null ? 0 : 1

  statement {
    sid = "Leases"
    actions = [
      "dynamodb:DescribeTable", "dynamodb:CreateTable", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
    ]
    resources = ["arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.kinesis.app}"]
  }
}

# What ECS does before it starts a worker, with the execution role: pulls the image.
data "aws_iam_policy_document" "image" {
  count = var.image_repository_arn == null ? 0 : 1

  # This action is not on a resource.
  statement {
    #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken has no resource
    sid       = "Token"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "Layers"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.image_repository_arn]
  }
}

# Writes the log, in which the metrics are, with the execution role.
data "aws_iam_policy_document" "log" {
  statement {
    sid       = "Streams"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.weir.arn}:*"]
  }
}

# Reads the secrets into environment variables, with the execution role.
data "aws_iam_policy_document" "secrets" {
  count = length(var.secrets) > 0 ? 1 : 0

  dynamic "statement" {
    for_each = length(local.manager_secrets) > 0 ? [local.manager_secrets] : []

    content {
      sid       = "SecretsManager"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.ssm_secrets) > 0 ? [local.ssm_secrets] : []

    content {
      sid       = "Parameters"
      actions   = ["ssm:GetParameters"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_key_arns) > 0 ? [var.secret_key_arns] : []

    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

locals {
  # A secret's ARN may name a member and a version after its own seven parts: ARN:MEMBER:STAGE:ID.
  manager_secrets = [for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, 7)) if can(regex(":secretsmanager:", arn))]
  ssm_secrets     = [for arn in values(var.secrets) : arn if can(regex(":ssm:", arn))]
}

# weir doctor, for people and pipelines of operators: no role of the module has it.
data "aws_iam_policy_document" "doctor" {
  source_policy_documents = [data.aws_iam_policy_document.lake.json]

  statement {
    sid = "Bucket"
    actions = [
      "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration", "s3:GetBucketObjectLockConfiguration",
      "s3:GetEncryptionConfiguration",
    ]
    resources = [aws_s3_bucket.lake.arn]
  }
}

# Glue's crawler reads the logs of the registered tables, and writes to their database.
data "aws_iam_policy_document" "crawler" {
  count = var.glue == null ? 0 : 1

  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject"]
    resources = [for table in var.glue.tables : "${aws_s3_bucket.lake.arn}/${local.lake_prefix}${table}/*"]
  }

  statement {
    sid       = "Bucket"
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [aws_s3_bucket.lake.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.weir.arn]
  }

  statement {
    sid     = "Catalog"
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:CreateTable", "glue:UpdateTable"]
    resources = [
      "arn:${local.partition}:glue:${local.region}:${local.account}:catalog",
      aws_glue_catalog_database.lake[0].arn,
      "arn:${local.partition}:glue:${local.region}:${local.account}:table/${aws_glue_catalog_database.lake[0].name}/*",
    ]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws-glue/crawlers:*"]
  }
}
