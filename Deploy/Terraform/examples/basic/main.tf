# A pipeline from Amazon MSK into S3 and DynamoDB, in subnets with a NAT gateway or the interface endpoints below.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region of the deployment."
  type        = string
  default     = "eu-central-1"
}

variable "vpc_id" {
  description = "The VPC of the brokers."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Route tables of the subnets."
  type        = list(string)
}

variable "image" {
  description = "The image of Weir."
  type        = string
}

variable "repository_arn" {
  description = "The ECR repository of the image."
  type        = string
}

variable "brokers" {
  description = "Addresses of the brokers, as HOST:PORT with commas."
  type        = string
}

variable "broker_cidr" {
  description = "Range of the brokers' addresses."
  type        = string
}

variable "password_arn" {
  description = "ARN of the secret with the members user and password of the Kafka user (SCRAM)."
  type        = string
}

locals {
  bucket = "example-ad-events-lake"
  table  = "ad-events-state"
}

module "weir" {
  source = "../.."

  name            = "ad-events"
  vpc_id          = var.vpc_id
  subnet_ids      = var.subnet_ids
  route_table_ids = var.route_table_ids

  bucket_name = local.bucket
  table_name  = local.table

  image                = var.image
  image_repository_arn = var.repository_arn
  pipeline             = templatefile("${path.module}/pipeline.yaml.tftpl", { bucket = local.bucket, table = local.table, brokers = var.brokers })

  secrets = {
    KAFKA_USER     = "${var.password_arn}:user::"
    KAFKA_PASSWORD = "${var.password_arn}:password::"
  }

  interface_endpoints = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
  egress              = { brokers = { port = 9096, cidr = var.broker_cidr } }

  workers = { min = 2, max = 8 }
  glue    = { database = "ad_events", tables = ["gold/ad_views", "silver/ad-events"] }
}

output "bucket" {
  description = "The bucket of the lake."
  value       = module.weir.bucket
}

output "security_group_id" {
  description = "Let it into the brokers' security group, on port 9096."
  value       = module.weir.security_group_id
}
