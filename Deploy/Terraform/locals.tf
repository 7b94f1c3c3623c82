data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  plan      = yamldecode(var.pipeline)
  pipeline  = local.plan.pipeline
  lake_path = try(local.plan.lake.path, "")
  # Empty, or with a slash at its end: PREFIX/.
  lake_prefix = try(join("", [trim(regex("^s3://[^/]+/(.*[^/])/*$", local.lake_path)[0], "/"), "/"]), "")

  # The namespace of the metrics; null: the worker writes none.
  namespace = can(local.plan.worker.cloudwatch) ? try(local.plan.worker.cloudwatch.namespace, "Weir") : null

  # Seconds of worker.drain, which has one number and one unit; null if it is written otherwise.
  drain_text    = try(local.plan.worker.drain, "25s")
  drain_parts   = try(regex("^([0-9]+)(ms|s|m|h|d)$", local.drain_text), null)
  drain_seconds = try(tonumber(local.drain_parts[0]) * lookup({ ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }, local.drain_parts[1]), null)
}
