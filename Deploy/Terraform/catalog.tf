# Optional: tables of the lake in the Glue Data Catalog, for Athena, Redshift Spectrum and EMR. With catalog: {glue: …} the worker registers its
# own tables. A crawler is the other way, for tables of a worker that may not: it reads each table's Delta log on a schedule.

resource "aws_glue_catalog_database" "catalog" {
  count = var.catalog_database == null ? 0 : 1

  name        = var.catalog_database
  description = "Tables that the pipeline ${local.pipeline} registers"
  tags        = var.tags
}

resource "aws_glue_catalog_database" "lake" {
  count = var.glue == null ? 0 : 1

  name        = var.glue.database
  description = "Tables of the pipeline ${local.pipeline}"
  tags        = var.tags
}

resource "aws_glue_crawler" "lake" {
  #checkov:skip=CKV_AWS_195:The crawler writes no data, and its log has only names of tables
  count = var.glue == null ? 0 : 1

  name          = "${var.name}-delta"
  database_name = aws_glue_catalog_database.lake[0].name
  role          = aws_iam_role.crawler[0].arn
  schedule      = var.glue.schedule
  tags          = var.tags

  delta_target {
    delta_tables = [for table in var.glue.tables : "s3://${var.bucket_name}/${local.lake_prefix}${table}/"]
    # The table is Delta for its readers: they read its log, and no manifest is written into the lake.
    create_native_delta_table = true
    write_manifest            = false
  }

  # A table that is gone from the lake stays registered, until a person removes it.
  schema_change_policy {
    update_behavior = "UPDATE_IN_DATABASE"
    delete_behavior = "LOG"
  }
}

data "aws_iam_policy_document" "glue" {
  statement {
    sid     = "Crawler"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["glue.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "crawler" {
  count = var.glue == null ? 0 : 1

  name               = "${var.name}-crawler"
  assume_role_policy = data.aws_iam_policy_document.glue.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "crawler" {
  count = length(data.aws_iam_policy_document.crawler)

  name   = "crawler"
  role   = aws_iam_role.crawler[0].id
  policy = data.aws_iam_policy_document.crawler[0].json
}
