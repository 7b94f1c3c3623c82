# One key for the lake, the state table and the log.
resource "aws_kms_key" "weir" {
  description             = "Weir ${var.name}: lake, state and log"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_protection ? 30 : 7
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = var.tags
}

resource "aws_kms_alias" "weir" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.weir.key_id
}

# A key policy is attached to one key, so "*" is that key.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:The account administers its key: without this statement IAM policies could not allow anything on it
  #checkov:skip=CKV_AWS_111:The account administers its key: without this statement IAM policies could not allow anything on it
  #checkov:skip=CKV_AWS_356:In a key policy, "*" is the key
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/weir/${var.name}"]
    }
  }
}
