resource "aws_s3_bucket" "lake" {
  #checkov:skip=CKV_AWS_144:Copies to another region are up to the user: a copy without the ledger's order is not a lake (MovingALake.md)
  #checkov:skip=CKV_AWS_18:Access logs need a bucket of the user: access_log_bucket
  #checkov:skip=CKV2_AWS_62:Weir does not use notifications
  bucket        = var.bucket_name
  force_destroy = false
  tags          = var.tags
}

resource "aws_s3_bucket_ownership_controls" "lake" {
  bucket = aws_s3_bucket.lake.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id

  rule {
    # One request to KMS for many objects.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.weir.arn
    }
  }
}

# Object Lock stays off: Weir collects old entries and blobs, and could not delete them.
resource "aws_s3_bucket_versioning" "lake" {
  bucket = aws_s3_bucket.lake.id

  versioning_configuration {
    status = "Enabled"
  }
}

locals {
  # The directories of tables. `_weir/` is not one of them: a rule that deletes or moves objects below it destroys the ledger, and
  # filters of rules cannot exclude a prefix.
  layers = ["bronze", "silver", "gold", "late", "quarantine"]
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  #checkov:skip=CKV_AWS_300:The first rule does it: checkov does not see it next to dynamic rules
  bucket = aws_s3_bucket.lake.id

  # Uploads of workers that were killed. No object expires.
  rule {
    id     = "incomplete-uploads"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = toset(local.layers)

    content {
      id     = "noncurrent-${rule.value}"
      status = "Enabled"

      filter {
        prefix = "${local.lake_prefix}${rule.value}/"
      }

      noncurrent_version_expiration {
        noncurrent_days = var.noncurrent_days
      }

      # Of markers of deleted objects whose versions are gone; not of objects.
      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  # Only versions that Weir itself deleted: it never overwrites an object below `_weir/`.
  dynamic "rule" {
    for_each = var.ledger_noncurrent_days == null ? [] : [var.ledger_noncurrent_days]

    content {
      id     = "noncurrent-ledger"
      status = "Enabled"

      filter {
        prefix = "${local.lake_prefix}_weir/"
      }

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.lake]
}

resource "aws_s3_bucket_logging" "lake" {
  count = var.access_log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.lake.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket_name}/"
}

resource "aws_s3_bucket_policy" "lake" {
  bucket = aws_s3_bucket.lake.id
  policy = data.aws_iam_policy_document.bucket.json

  depends_on = [aws_s3_bucket_public_access_block.lake]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "OnlyTLS"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.lake.arn, "${aws_s3_bucket.lake.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "OnlyTLS12"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.lake.arn, "${aws_s3_bucket.lake.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }
}
