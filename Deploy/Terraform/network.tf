# Endpoints, so that requests to the lake and to the state table do not leave AWS's network and cost no NAT traffic.

resource "aws_vpc_endpoint" "gateway" {
  for_each = var.gateway_endpoints ? toset(["s3", "dynamodb"]) : toset([])

  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
  tags              = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

# -- Workers accept no connection. Their admin server listens on the loopback address, for the health check.

resource "aws_security_group" "workers" {
  name        = "${var.name}-workers"
  description = "Weir ${var.name}: workers"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

# With or without the module's own gateway endpoints: the prefix lists are AWS's.
data "aws_prefix_list" "gateway" {
  for_each = toset(["s3", "dynamodb"])

  name = "com.amazonaws.${local.region}.${each.key}"
}

resource "aws_vpc_security_group_egress_rule" "gateway" {
  for_each = data.aws_prefix_list.gateway

  security_group_id = aws_security_group.workers.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = each.value.id
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  count = length(var.interface_endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.workers.id
  description                  = "Interface endpoints"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints[0].id
}

resource "aws_vpc_security_group_egress_rule" "other" {
  for_each = var.egress

  security_group_id = aws_security_group.workers.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr
}

resource "aws_security_group" "endpoints" {
  count = length(var.interface_endpoints) > 0 ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Weir ${var.name}: interface endpoints"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(var.interface_endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "Workers"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.workers.id
}
