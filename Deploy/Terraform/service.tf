resource "aws_ecs_cluster" "weir" {
  name = var.name
  tags = var.tags

  # Counts the running workers, for scaling and alarms.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "weir" {
  name              = "/weir/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.weir.arn
  tags              = var.tags
}

locals {
  # As in Deploy/Dockerfile. ECS does not use the health check of an image.
  health_script = "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /live HTTP/1.0\\r\\n\\r\\n' >&3 && IFS= read -r line <&3 && [[ $line == *' 200 '* ]]"

  worker = {
    name      = "weir"
    image     = var.image
    essential = true
    cpu       = var.cpu
    memory    = var.memory

    # Writes the pipeline file, then becomes the worker: signals reach it.
    entryPoint = ["/bin/bash", "-c", "printf '%s' \"$WEIR_PIPELINE\" > /data/pipeline.yaml && unset WEIR_PIPELINE && exec /usr/bin/weir \"$@\"", "weir"]
    command    = ["run", "/data/pipeline.yaml", "--admin", "127.0.0.1:9464", "--log-format", "json"]

    environment = [
      { name = "AWS_REGION", value = local.region },
      { name = "WEIR_PIPELINE", value = var.pipeline },
    ]
    secrets = [for name, arn in var.secrets : { name = name, valueFrom = arn }]

    user                   = "10001:10001"
    readonlyRootFilesystem = true
    privileged             = false
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # The image declares /data as a volume of uid 10001, and ECS keeps that owner for the mount.
    mountPoints = [{ sourceVolume = "scratch", containerPath = "/data", readOnly = false }]

    # /live fails only if the worker makes no progress for worker.dead. A worker that brings tables up to date is alive.
    healthCheck = {
      command     = ["CMD", "bash", "-c", local.health_script]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 300
    }
    stopTimeout = var.stop_timeout

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.weir.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "worker"
        # A log that does not answer must not stop the worker.
        "mode"            = "non-blocking"
        "max-buffer-size" = "4m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "worker" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.worker])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "scratch"
  }

  lifecycle {
    precondition {
      condition     = startswith("${local.lake_path}/", "s3://${var.bucket_name}/")
      error_message = "The pipeline's lake.path is not in the bucket ${var.bucket_name}."
    }

    precondition {
      condition     = try(local.plan.store.dynamodb.table, local.plan.store.dynamodb, null) == var.table_name
      error_message = "The pipeline's store.dynamodb is not table_name."
    }

    precondition {
      condition     = local.namespace != null
      error_message = "The pipeline has no worker.cloudwatch: without its metrics the service cannot scale, and alarms have no data. Add worker: {cloudwatch: {}}."
    }

    precondition {
      condition     = local.drain_seconds == null ? false : local.drain_seconds < var.stop_timeout
      error_message = "The pipeline's worker.drain (${local.drain_text}) is not a number with a unit, or not less than stop_timeout (${var.stop_timeout}s): workers would be killed before their last commit."
    }
  }
}

resource "aws_ecs_service" "worker" {
  name             = "worker"
  cluster          = aws_ecs_cluster.weir.id
  task_definition  = aws_ecs_task_definition.worker.arn
  desired_count    = var.workers.min
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"
  tags             = var.tags

  # New workers join the group before old ones leave it. The group never has too few members.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.workers.id]
    assign_public_ip = false
  }

  lifecycle {
    # Scaling decides it.
    ignore_changes = [desired_count]
  }

  # Workers that start before their permissions exist fail, and the circuit breaker ends the deployment.
  depends_on = [
    aws_iam_role_policy.lake, aws_iam_role_policy.state, aws_iam_role_policy.msk_read, aws_iam_role_policy.msk_write,
    aws_iam_role_policy.image, aws_iam_role_policy.log, aws_iam_role_policy.secrets,
  ]
}
