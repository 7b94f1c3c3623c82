# The lag that /scale reports is the metric pipeline_lag_records: each worker has the lag of the whole pipeline, so Maximum is right for any
# number of workers. Target tracking keeps lag / workers at lag_per_worker. It adds workers after three minutes above the target, and removes
# them after 15 minutes below 90 % of it: each change is a rebalance of the group.

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.weir.name}/${aws_ecs_service.worker.name}"
  min_capacity       = var.workers.min
  max_capacity       = var.workers.max
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "lag" {
  name               = "${var.name}-lag"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.lag_per_worker
    scale_out_cooldown = 120
    scale_in_cooldown  = 600

    customized_metric_specification {
      metrics {
        id          = "lag"
        label       = "Lag of the pipeline"
        return_data = false

        metric_stat {
          stat = "Maximum"

          metric {
            namespace   = coalesce(local.namespace, "Weir")
            metric_name = "pipeline_lag_records"

            dimensions {
              name  = "pipeline"
              value = local.pipeline
            }
          }
        }
      }

      metrics {
        id          = "workers"
        label       = "Running workers"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.weir.name
            }

            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.worker.name
            }
          }
        }
      }

      metrics {
        id          = "share"
        label       = "Lag per worker"
        expression  = "lag / workers"
        return_data = true
      }
    }
  }
}
