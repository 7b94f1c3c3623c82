output "bucket" {
  description = "The bucket of the lake."
  value       = aws_s3_bucket.lake.bucket
}

output "table" {
  description = "The DynamoDB table of the state; null if there is none."
  value       = try(aws_dynamodb_table.state[0].name, null)
}

output "key_arn" {
  description = "The KMS key of lake, state and log. Readers of the tables need kms:Decrypt on it."
  value       = aws_kms_key.weir.arn
}

output "cluster" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.weir.name
}

output "service" {
  description = "The ECS service of the workers."
  value       = aws_ecs_service.worker.name
}

output "task_role_arn" {
  description = "The workers' role."
  value       = aws_iam_role.task.arn
}

output "security_group_id" {
  description = "The workers' security group, which brokers must let in."
  value       = aws_security_group.workers.id
}

output "log_group" {
  description = "The log group of the workers' log."
  value       = aws_cloudwatch_log_group.weir.name
}

output "doctor_policy" {
  description = "Policy document for operators who run weir doctor on the lake."
  value       = data.aws_iam_policy_document.doctor.json
}

output "catalog_database" {
  description = "The database of the tables that the worker registers; null if it registers none."
  value       = try(aws_glue_catalog_database.catalog[0].name, null)
}

output "glue_database" {
  description = "The database of the registered tables; null if none are registered."
  value       = try(aws_glue_catalog_database.lake[0].name, null)
}
