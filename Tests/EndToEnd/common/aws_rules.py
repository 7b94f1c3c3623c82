"""Rules for the Terraform module of Deploy that no general checker has: what would damage a lake, and what a policy may say."""
import re

from terraform import Expression, bare, expressions, is_own

# Directories of a lake that have no `_weir/` below them.
LAYERS = {"bronze", "silver", "gold", "late", "quarantine"}
SKIP = re.compile(r"#checkov:skip=(\w+)(?::(.*))?")


def blocks(body, name):
    """(block, its iterator's values or None) of a resource, also of dynamic blocks."""
    for block in body.get(name, []):
        yield block, None
    for dynamic in body.get("dynamic", []):
        for label, inner in dynamic.items():
            if not is_own(label) and bare(label) == name:
                for content in inner["content"]:
                    yield content, inner["for_each"]


def one(blocks_of, name):
    """The only block of a name, or {}."""
    return (blocks_of.get(name) or [{}])[0]


# -- Lake

def lifecycle(module):
    """No rule of the bucket deletes or moves an object that may be below `_weir/`; the user may choose days for versions that Weir deleted."""
    faults, aborts, rules = [], False, 0
    for name, body in module.resources.items():
        if not name.startswith("aws_s3_bucket_lifecycle_configuration."):
            continue
        for rule, values in blocks(body, "rule"):
            rules += 1
            where = f"{name}: rule {bare(rule['id'])}"
            aborts |= "abort_incomplete_multipart_upload" in rule
            expiry = one(rule, "expiration")
            if {name for name in expiry if not is_own(name)} - {"expired_object_delete_marker"}:
                faults.append(f"{where} deletes current objects")
            moving = [what for what in ("transition", "noncurrent_version_transition", "noncurrent_version_expiration") if what in rule]
            if moving == ["noncurrent_version_expiration"] and _chosen_for_ledger(module, one(rule, "filter"), values):
                continue
            if moving and not _only_layers(module, one(rule, "filter"), values):
                faults.append(f"{where} has {moving[0]} and may match objects below _weir/")
    return faults + ([] if rules > 1 else ["no rules were found"]) + ([] if aborts else ["uploads of killed workers are kept forever"])


def _chosen_for_ledger(module, filter_block, values):
    """Whether a rule is there only if the user gives days for the ledger's deleted versions."""
    chosen = values == "${var.ledger_noncurrent_days == null ? [] : [var.ledger_noncurrent_days]}"
    return chosen and module.variables["ledger_noncurrent_days"].get("default", 0) is None and bare(filter_block["prefix"]).endswith("_weir/")


def _only_layers(module, filter_block, values):
    """Whether a filter matches the directories of tables only."""
    prefix = bare(filter_block.get("prefix", ""))
    if values is not None:
        local = re.fullmatch(r"\$\{toset\(local\.(\w+)\)\}", values)
        names = {bare(v) for v in module.locals.get(local[1], [])} if local else set()
        return bool(names) and names <= LAYERS and prefix == "${local.lake_prefix}${rule.value}/"
    return prefix in {"${local.lake_prefix}" + layer + "/" for layer in LAYERS}


def bucket(module):
    """Encrypted with KMS and bucket keys, versioned, not public, without ACLs, only by TLS 1.2 or later."""
    of = lambda kind: module.resources.get(f"aws_s3_bucket_{kind}.lake", {})
    rule = one(of("server_side_encryption_configuration"), "rule")
    default = one(rule, "apply_server_side_encryption_by_default")
    faults = [] if bare(default.get("sse_algorithm", "")) == "aws:kms" and "kms_master_key_id" in default else ["objects are not encrypted with KMS"]
    faults += [] if rule.get("bucket_key_enabled") is True else ["each object needs a request to KMS"]
    faults += [] if bare(one(of("versioning"), "versioning_configuration").get("status", "")) == "Enabled" else ["no versions are kept"]
    public = of("public_access_block")
    faults += [f"{flag} is not true" for flag in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
               if public.get(flag) is not True]
    faults += [] if bare(one(of("ownership_controls"), "rule").get("object_ownership", "")) == "BucketOwnerEnforced" else ["ACLs are possible"]
    denied = {(bare(c["variable"]), bare(c["values"][0])) for s in module.data["aws_iam_policy_document.bucket"]["statement"]
              for c in s.get("condition", []) if bare(s.get("effect", "")) == "Deny"}
    faults += [f"the bucket's policy does not deny {pair}" for pair in (("aws:SecureTransport", "false"), ("s3:TlsVersion", "1.2")) if pair not in denied]
    lake = module.resources["aws_s3_bucket.lake"]
    faults += ["Object Lock is on: Weir could not collect old entries"] if lake.get("object_lock_enabled") else []
    return faults + ([] if lake.get("force_destroy") is False else ["destroying the module would delete the lake"])


# -- State

def table(module, keys):
    """The state table has the keys that a worker asks for, [(name, type, role)], and is billed per request, encrypted and restorable."""
    body = module.resources["aws_dynamodb_table.state"]
    types = {bare(a["name"]): bare(a["type"]) for a in body.get("attribute", [])}
    found = [(bare(body.get(role, "")), types.get(bare(body.get(role, ""))), role) for role in ("hash_key", "range_key")]
    faults = [] if found == keys else [f"the table has the keys {found}, and Weir wants {keys}"]
    faults += [] if set(types) == {name for name, _, _ in keys} else [f"attributes that are not keys: {sorted(types)}"]
    faults += [] if bare(body.get("billing_mode", "")) == "PAY_PER_REQUEST" else ["the table is not billed per request"]
    encryption = one(body, "server_side_encryption")
    faults += [] if encryption.get("enabled") is True and "kms_key_arn" in encryption else ["the table is not encrypted with the module's key"]
    faults += [] if one(body, "point_in_time_recovery").get("enabled") is True else ["the table cannot be restored"]
    return faults + ([] if body.get("deletion_protection_enabled") else ["the table is not protected from deletion"])


# -- Policies

def documents(module):
    """{name: statements} of the policy documents, with those of dynamic blocks."""
    return {name.removeprefix("aws_iam_policy_document."): [block for block, _ in blocks(body, "statement")]
            for name, body in module.data.items() if name.startswith("aws_iam_policy_document.")}


def actions_of(statements):
    return {bare(action) for s in statements for action in s["actions"]}


# Policies on a thing or a role, which say who may use it.
TRUST = {"key", "bucket", "tasks", "glue"}


def wildcards(module):
    """No policy of a role has a wildcard in an action, or "*" as its resource (ecr:GetAuthorizationToken has no other)."""
    faults = []
    for name, statements in documents(module).items():
        for s in statements:
            where = f"{name}: {bare(s.get('sid', '?'))}"
            if bare(s.get("effect", "Allow")) == "Allow" and name not in TRUST:
                faults += [f"{where} allows {action}" for action in actions_of([s]) if "*" in action]
                everything = isinstance(s["resources"], list) and "*" in map(bare, s["resources"])
                if everything and actions_of([s]) != {"ecr:GetAuthorizationToken"}:
                    faults.append(f"{where} is on all resources")
            if name in TRUST - {"key", "bucket"} and not s.get("condition"):
                faults.append(f"{where} trusts other accounts' use of the service")
    return faults


def policies(module, features, actions):
    """The actions of each policy are those of its feature's calls, and each policy has its feature."""
    faults, there = [], documents(module)
    wanted = {name: feature for name, feature in features.items() if "policy" not in feature}
    faults += [f"the feature {name} has no policy" for name in sorted(set(wanted) - set(there))]
    faults += [f"the policy {name} has no feature in aws_calls.json" for name in sorted(set(there) - set(wanted) - TRUST)]
    for name in sorted(set(wanted) & set(there)):
        allowed, needed = actions_of(there[name]), actions(wanted[name])
        faults += [f"the policy {name} allows {action}, which no call needs" for action in sorted(allowed - needed)]
        faults += [f"the policy {name} does not allow {action}" for action in sorted(needed - allowed)]
    return faults


def attached(module, features):
    """A worker's features are policies of the task role, what ECS does of the execution role, and doctor's of no role."""
    roles = {"weir": "task", "librdkafka": "task", "ECS": "execution", "Glue": "crawler"}
    faults = []
    for name, feature in features.items():
        if "policy" in feature:
            continue
        body = module.resources.get(f"aws_iam_role_policy.{name}")
        role = re.sub(r"\[\d\]", "", body["role"]) if body else None
        want = None if name == "doctor" else f"${{aws_iam_role.{roles[feature['made_by']]}.id}}"
        faults += [] if role == want else [f"the policy {name} is attached to {role}, not {want}"]
        if body and f"aws_iam_policy_document.{name}" not in body["policy"]:
            faults.append(f"aws_iam_role_policy.{name} has another policy: {body['policy']}")
    return faults


# -- Alarms and scaling

def metrics(module):
    """[(where, metric, statistic)] of the alarms and the scaling policy, of Weir's own namespace."""
    found = [(name, bare(metric), bare(statistic)) for name, alarm in module.locals["alarms"].items()
             for metric, statistic in alarm["metrics"].values()]
    policy = one(module.resources["aws_appautoscaling_policy.lag"], "target_tracking_scaling_policy_configuration")
    for query in one(policy, "customized_metric_specification").get("metrics", []):
        stat = one(query, "metric_stat")
        metric = one(stat, "metric")
        if metric and "local.namespace" in metric["namespace"]:
            found.append(("scaling", bare(metric["metric_name"]), bare(stat["stat"])))
    return found


def alarm_expressions(module):
    """Each alarm of several metrics has an expression, which names each of them and nothing else."""
    faults, functions = [], {"IF", "DIFF", "AND"}
    for name, alarm in module.locals["alarms"].items():
        ids, text = set(alarm["metrics"]), alarm["expression"]
        if text is None:
            faults += [] if len(ids) == 1 else [f"{name}: {len(ids)} metrics, and no expression"]
            continue
        used = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\$\{[^}]*\}", "", bare(text)))) - functions
        faults += [] if used == ids else [f"{name}: its metrics are {sorted(ids)}, and the expression has {sorted(used)}"]
    return faults


def skips(module):
    """Each check of checkov's that is skipped has a reason."""
    return [f"{file}: {check} is skipped without a reason" for file, text in module.texts.items()
            for check, reason in SKIP.findall(text) if len(reason or "") < 20]


def condition_names(module):
    """Names that the preconditions of the task definition use."""
    body = module.resources["aws_ecs_task_definition.worker"]
    return {chain for block in one(body, "lifecycle").get("precondition", []) for text in expressions(block["condition"])
            for chain in Expression(text).chains}
