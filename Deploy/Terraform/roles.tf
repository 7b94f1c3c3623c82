# The task role is the worker's own. The execution role is used by ECS before the worker starts, and for its log.

data "aws_iam_policy_document" "tasks" {
  statement {
    sid     = "Tasks"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # No other account's tasks (the confused deputy).
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "lake" {
  name   = "lake"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.lake.json
}

resource "aws_iam_role_policy" "inputs" {
  count = length(data.aws_iam_policy_document.inputs)

  name   = "inputs"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.inputs[0].json
}

resource "aws_iam_role_policy" "kinesis" {
  count = length(data.aws_iam_policy_document.kinesis)

  name   = "kinesis"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.kinesis[0].json
}

resource "aws_iam_role_policy" "kinesis_leases" {
  count = length(data.aws_iam_policy_document.kinesis_leases)

  name   = "kinesis-leases"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.kinesis_leases[0].json
}

resource "aws_iam_role_policy" "state" {
  count = length(data.aws_iam_policy_document.state)

  name   = "state"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.state[0].json
}

resource "aws_iam_role_policy" "catalog" {
  count = length(data.aws_iam_policy_document.catalog)

  name   = "catalog"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.catalog[0].json
}

resource "aws_iam_role_policy" "secret_values" {
  count = length(data.aws_iam_policy_document.secret_values)

  name   = "secret-values"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.secret_values[0].json
}

resource "aws_iam_role_policy" "parameters" {
  count = length(data.aws_iam_policy_document.parameters)

  name   = "parameters"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.parameters[0].json
}

resource "aws_iam_role_policy" "msk_read" {
  count = length(data.aws_iam_policy_document.msk_read)

  name   = "msk-read"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.msk_read[0].json
}

resource "aws_iam_role_policy" "msk_write" {
  count = length(data.aws_iam_policy_document.msk_write)

  name   = "msk-write"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.msk_write[0].json
}

resource "aws_iam_role_policy" "image" {
  count = length(data.aws_iam_policy_document.image)

  name   = "image"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.image[0].json
}

resource "aws_iam_role_policy" "log" {
  name   = "log"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.log.json
}

resource "aws_iam_role_policy" "secrets" {
  count = length(data.aws_iam_policy_document.secrets)

  name   = "secrets"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.secrets[0].json
}
