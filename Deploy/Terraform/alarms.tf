# The alarms of Deploy/Prometheus/rules.yaml, on the metrics that CloudWatch makes of the workers' log. Their names lead to Runbooks.md.
# Differences: DeployingOnAWS.md.

locals {
  # metrics: name and statistic by id, of the pipeline; expression: of the ids, or null for the only metric. An alarm changes its state
  # after `of` of the last `of` periods (of `period` seconds). missing: what periods without data count as.
  alarms = {
    WeirNotReading = {
      text    = "No worker has a lane, so no records are read"
      metrics = { lanes = ["lanes_owned", "Maximum"] }, expression = null
      above   = false, threshold = 1, period = 60, of = 3, missing = "breaching"
    }
    WeirStalled = {
      text    = "Lanes have work and make no progress"
      metrics = { stalled = ["lanes_stalled", "Maximum"] }, expression = null
      above   = true, threshold = 0, period = 60, of = 3, missing = "notBreaching"
    }
    WeirLagGrows = {
      text    = "The lag is large and growing"
      metrics = { lag = ["pipeline_lag_records", "Maximum"] }, expression = "IF(lag > ${var.alarm_lag_records} AND DIFF(lag) > 0, 1, 0)"
      above   = true, threshold = 0, period = 300, of = 3, missing = "notBreaching"
    }
    WeirDataLossNear = {
      text    = "Retention deletes unread records in less than an hour"
      metrics = { left = ["time_to_data_loss_seconds", "Minimum"] }, expression = null
      above   = false, threshold = 3600, period = 60, of = 5, missing = "notBreaching"
    }
    WeirDataLost = {
      text    = "Positions were deleted at the source before they were read"
      metrics = { lost = ["lost_positions", "Sum"] }, expression = null
      above   = true, threshold = 0, period = 300, of = 1, missing = "notBreaching"
    }
    WeirCommitsStopped = {
      text    = "The pipeline has lag, and the ledger gets no entries"
      metrics = { lag = ["pipeline_lag_records", "Maximum"], entries = ["ledger_entries", "Sum"] }
      above   = true, threshold = 0, period = 300, of = 2, missing = "notBreaching", expression = "IF(lag > 0 AND entries < 1, 1, 0)"
    }
    WeirWatermarkStuck = {
      text    = "Windows do not close, without lag"
      metrics = { age = ["watermark_lag_seconds", "Maximum"], lag = ["pipeline_lag_records", "Maximum"] }
      above   = true, threshold = 0, period = 300, of = 3, missing = "notBreaching", expression = "IF(age > 900 AND lag < 1000, 1, 0)"
    }
    WeirQuarantine = {
      text = "More than 1 % of the records are quarantined"
      metrics = {
        accepted = ["records_accepted", "Sum"], duplicate = ["records_duplicate", "Sum"]
        filtered = ["records_filtered", "Sum"], rejected = ["records_quarantined", "Sum"]
      }
      expression = "IF(rejected > 0.01 * (accepted + duplicate + filtered + rejected), 1, 0)"
      above      = true, threshold = 0, period = 300, of = 3, missing = "notBreaching"
    }
    WeirFenced = {
      text    = "Workers take lanes from each other"
      metrics = { fenced = ["commits_fenced", "Sum"] }, expression = null
      above   = true, threshold = 3, period = 1800, of = 1, missing = "notBreaching"
    }
    WeirMemory = {
      text    = "A worker uses more than nine tenths of its task's memory"
      metrics = { resident = ["process_resident_memory_bytes", "Maximum"] }, expression = null
      above   = true, threshold = 0.9 * var.memory * 1024 * 1024, period = 300, of = 1, missing = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "pipeline" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Pipeline ${local.pipeline}: ${each.value.text}. Runbook: Runbooks.md#${lower(each.key)}"
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.of
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id          = metric_query.key
      return_data = each.value.expression == null

      metric {
        namespace   = coalesce(local.namespace, "Weir")
        metric_name = metric_query.value[0]
        stat        = metric_query.value[1]
        period      = each.value.period
        dimensions  = { pipeline = local.pipeline }
      }
    }
  }

  dynamic "metric_query" {
    for_each = each.value.expression == null ? [] : [each.value.expression]

    content {
      id          = "result"
      label       = each.key
      expression  = metric_query.value
      return_data = true
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "workers" {
  alarm_name          = "${var.name}-WeirWorkerDown"
  alarm_description   = "Pipeline ${local.pipeline}: fewer than ${var.workers.min} workers run. Runbook: Runbooks.md#weirworkerdown"
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = var.workers.min
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags

  dimensions = {
    ClusterName = aws_ecs_cluster.weir.name
    ServiceName = aws_ecs_service.worker.name
  }
}
