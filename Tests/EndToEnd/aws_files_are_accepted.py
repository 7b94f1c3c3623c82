#!/usr/bin/env python3
"""The Terraform module, the ECS task definition and the manifests for EKS, read by other programs: python-hcl2, Terraform without a provider,
checkov, AWS's models in botocore, kubernetes-validate. Nothing is deployed. Policies have the actions of the calls
in Fixtures/aws_calls.json, and the calls that the binary makes are those; planted faults are found."""
import glob
import json
import os
import re
import shutil
import subprocess

import common
import aws_calls
import aws_made
import aws_rules
import deploy
import deploy_eks
import terraform
import terraform_run
import yaml

MODULE = os.path.join(deploy.DEPLOY, "Terraform")
EXAMPLE = os.path.join(MODULE, "examples", "basic")
# An environment of its own: its packages and those of requirements.txt exclude each other.
CHECKOV = os.environ.get("WEIR_TEST_CHECKOV") or os.path.join(common.ROOT, ".build", "checkov")
PAGE = os.path.join(os.path.dirname(deploy.PAGE), "DeployingOnAWS.md")
KEYS = [("pk", "S", "hash_key"), ("sk", "B", "range_key")]
# CloudWatch has no metric for it.
NO_ALARM = {"WeirSlowCommits"}


def module():
    return terraform.Module(MODULE)


def names(suite):
    """Each name in the Terraform files is declared, each declaration is used and described, and the example fits the module"""
    of_module, example = module(), terraform.Module(EXAMPLE)
    faults = of_module.faults() + example.faults() + example.call_faults("weir", of_module)
    counts = len(of_module.variables), len(of_module.resources), len(of_module.data)
    suite.claim(f"{names.__doc__} ({counts[0]} variables, {counts[1]} resources, {counts[2]} data)", faults)
    plant(suite, "names that are wrong are found", lambda m: m.faults(), (
        ("variables.tf", 'variable "cpu" {', 'variable "cpus" {', "var.cpu is not declared"),
        ("variables.tf", '  description = "Tags of everything that the module makes."\n', "", "var.tags has no description"),
        ("service.tf", "aws_iam_role.task.arn", "aws_iam_role.tasks.arn", "aws_iam_role.tasks is not declared"),
        ("service.tf", "cpu       = var.cpu", "cpu       = 512 + local.cores", "local.cores is not declared"),
        ("policies.tf", "[aws_dynamodb_table.state[0].arn]", "[aws_dynamodb_table.state.arn]", "is used without an index"),
        ("policies.tf", "aws_s3_bucket.lake.arn]", "aws_s3_bucket.lake[0].arn]", "is used with an index"),
        ("outputs.tf", "aws_kms_key.weir.arn", "var.name", "output.key_arn is not of a resource"),
        ("outputs.tf", "aws_s3_bucket.lake.bucket", "aws_s3_bucket.lakes.bucket", "aws_s3_bucket.lakes is not declared"),
        ("locals.tf", "tonumber(local", "to_number(local", "to_number is not a function"),
        ("network.tf", '"com.amazonaws.${local.region}.${each.key}"', '"com.amazonaws.${local.regions}.${each.key}"', "local.regions is not declared"),
    ))


def plant(suite, text, check, faults):
    """A claim that `check` finds each change (file, old, new, what it says); None: it must find nothing."""
    missed = []
    for file, old, new, wanted in faults:
        found = check(module().with_text(file, old, new))
        if (wanted is None and found) or (wanted is not None and not any(wanted in fault for fault in found)):
            missed.append(f"{file}: {old.strip()[:60]} -> {new.strip()[:60]}: found {found[:3]}, wanted {wanted}")
    suite.claim(text, missed)


def storage(suite):
    """No lifecycle rule touches _weir/; bucket and table are encrypted, versioned or restorable, and private"""
    checks = lambda m: aws_rules.lifecycle(m) + aws_rules.bucket(m) + aws_rules.table(m, KEYS)
    suite.claim(storage.__doc__, checks(module()))
    abort = "    abort_incomplete_multipart_upload {"
    plant(suite, "faults of the storage are found", checks, (
        ("lake.tf", abort, "    expiration {\n      days = 90\n    }\n\n" + abort, "deletes current objects"),
        ("lake.tf", abort, "    noncurrent_version_expiration {\n      noncurrent_days = 1\n    }\n\n" + abort, "may match objects below _weir/"),
        ("lake.tf", abort, '    transition {\n      days          = 1\n      storage_class = "GLACIER"\n    }\n\n' + abort, "may match objects below _weir/"),
        ("lake.tf", '"gold", "late"', '"gold", "_weir", "late"', "may match objects below _weir/"),
        ("lake.tf", '"${local.lake_prefix}${rule.value}/"', '"${local.lake_prefix}"', "may match objects below _weir/"),
        ("lake.tf", "expired_object_delete_marker = true", "days = 30", "deletes current objects"),
        ("variables.tf", "  type        = number\n  default     = null", "  type        = number\n  default     = 30", "may match objects below _weir/"),
        ("lake.tf", "days_after_initiation = 7", "days_after_initiation = 1", None),
        ("lake.tf", 'sse_algorithm     = "aws:kms"', 'sse_algorithm     = "AES256"', "not encrypted with KMS"),
        ("lake.tf", 'status = "Enabled"\n  }\n}', 'status = "Suspended"\n  }\n}', "no versions are kept"),
        ("lake.tf", "block_public_policy     = true", "block_public_policy     = false", "block_public_policy is not true"),
        ("lake.tf", 'variable = "aws:SecureTransport"', 'variable = "aws:SourceIp"', "does not deny"),
        ("lake.tf", "force_destroy = false", "force_destroy = true", "would delete the lake"),
        ("state.tf", 'type = "B"', 'type = "S"', "and Weir wants"),
        ("state.tf", "    enabled     = true", "    enabled     = false", "not encrypted"),
        ("state.tf", '"PAY_PER_REQUEST"', '"PROVISIONED"', "not billed per request"),
    ))


def policies(suite):
    """Each policy has the actions that its feature's calls need, and no other; none has a wildcard"""
    features = aws_calls.features()
    checks = lambda m: (aws_rules.policies(m, features, aws_calls.actions) + aws_rules.wildcards(m) + aws_rules.attached(m, features))
    suite.claim(policies.__doc__, checks(module()))
    plant(suite, "faults of the policies are found", checks, (
        ("policies.tf", '"s3:GetObject", "s3:PutObject"', '"s3:*"', "lake: Objects allows s3:*"),
        ("policies.tf", '"s3:DeleteObject", ', "", "does not allow s3:DeleteObject"),
        ("policies.tf", '"dynamodb:Query", ', '"dynamodb:Query", "dynamodb:BatchWriteItem", ', "allows dynamodb:BatchWriteItem, which no call needs"),
        ("policies.tf", "resources = [aws_dynamodb_table.state[0].arn]", 'resources = ["*"]', "is on all resources"),
        ("policies.tf", 'data "aws_iam_policy_document" "doctor"', 'data "aws_iam_policy_document" "physician"', "the policy physician has no feature"),
        ("policies.tf", 'resources = [var.kinesis.stream_arn]', 'resources = ["*"]', "kinesis: Stream is on all resources"),
        ("policies.tf", '"dynamodb:Scan", ', "", "the policy kinesis_leases does not allow dynamodb:Scan"),
        ("policies.tf", 'actions   = ["s3:GetObject"]\n    resources = [for input', 'actions   = ["s3:GetObject", "s3:PutObject"]\n    resources = [for input',
         "the policy inputs allows s3:PutObject, which no call needs"),
        ("roles.tf", "role   = aws_iam_role.execution.id\n  policy = data.aws_iam_policy_document.log.json",
         "role   = aws_iam_role.task.id\n  policy = data.aws_iam_policy_document.log.json", "the policy log is attached to"),
        ("roles.tf", '    condition {\n      test     = "StringEquals"\n      variable = "aws:SourceAccount"\n      values   = [local.account]\n    }\n', "",
         "trusts other accounts"),
    ))
    made = ["PutObject", "GetObject", "CopyObject"]
    suite.claim("a call that no feature lists is found", [] if aws_calls.unlisted(made, "lake") and not aws_calls.unlisted(made[:2], "lake")
                and aws_calls.unused(made, "lake") else "unlisted() and unused() find nothing")
    cases = [("PUT", "/b/k?tagging", None, "PUT ?tagging"), ("GET", "/b/a%20b", None, "GetObject"), ("HEAD", "/b/k", None, "HEAD ?"),
             ("GET", "/b?list-type=2&prefix=a%2F&continuation-token=x", None, "ListObjectsV2"), ("PUT", "/b/k?partNumber=2&uploadId=u", None, "UploadPart"),
             ("POST", "/", {"X-Amz-Target": "DynamoDB_20120810.PutItem"}, "PutItem")]
    suite.claim("a proxy's requests are recognised as calls", [f"{case}: {found}" for *case, wanted in cases
                if (found := aws_calls.of_request(*case)) != wanted])


def page_tables(suite):
    """DeployingOnAWS.md has each feature with its actions"""
    with open(PAGE) as f:
        rows = re.findall(r"^\| `(\w+)` \| .* \| (`[^|]*`) \|", f.read(), re.M)
    page = {name: set(re.findall(r"`([^`]+)`", actions)) for name, actions in rows}
    wanted = {name: aws_calls.actions(feature) for name, feature in aws_calls.features().items()}
    faults = [f"{name}: the page has {sorted(page.get(name, []))}, the table {sorted(actions)}" for name, actions in wanted.items()
              if page.get(name) != actions]
    suite.claim(page_tables.__doc__, faults + [f"the page has {name}, and the table does not" for name in sorted(set(page) - set(wanted))])


def sources(suite):
    """The table lists the calls that the sources of WeirS3, WeirDynamoDB, WeirGlue, WeirKinesis and of secrets have, and the module's table has the keys that they ask for"""
    faults, features = sources_faults(os.path.join(common.ROOT, "Sources"))
    suite.claim(f"{sources.__doc__} ({', '.join(features) or 'neither is there yet'})", faults)


def sources_faults(root):
    """(faults, features whose sources are there)"""
    faults, found = [], []
    for directory, names, call in (("WeirS3", ("lake", "doctor"), r'\b(?:object|bucket)\(\s*"([A-Z]\w+)"'),
                                   ("WeirDynamoDB", ("state", "state_create", "state_doctor"), r'(?:\bsend\(\s*|operation = )"([A-Z]\w+)"'),
                                   ("WeirGlue", ("catalog", "catalog_create"), r'\bsend\(\s*"([A-Z]\w+)"'),
                                   ("WeirKinesis", ("kinesis", "kinesis_fan_out", "kinesis_load", "kinesis_leases"), r'\b(?:send|request)\(\s*"([A-Z]\w+)"'),
                                   ("WeirAWS/Secrets", ("secret_values", "parameters"), r'\brequest\(\s*"([A-Z]\w+)"')):
        text = "".join(open(path).read() for path in sorted(glob.glob(os.path.join(root, directory, "**", "*.swift"), recursive=True)))
        if not text:
            continue
        found.append(names[0])
        calls = set(re.findall(call, text))
        made = [name for name in names if not aws_calls.features()[name].get("planned")]
        faults += aws_calls.unlisted(calls, *names) + aws_calls.unused(calls, *made)
        if directory == "WeirDynamoDB":
            keys = [(re.search(rf'static let {name} = "(\w+)"', text)[1]) for name in ("partitionName", "sortName")]
            faults += [] if keys == [name for name, _, _ in KEYS] else [f"Weir's keys are {keys}"]
    return faults, found


# -- Service

def ecs():
    with open(os.path.join(deploy.DEPLOY, "ECS", "task-definition.json")) as f:
        return json.load(f)


def module_task():
    """The task definition of the module as RegisterTaskDefinition's arguments, with values for its variables."""
    of_module = module()
    values = {f"var.{name}": body.get("default") for name, body in of_module.variables.items()}
    values |= {"var.image": "weir", "local.region": "eu-central-1", "var.pipeline": "pipeline: p", "aws_cloudwatch_log_group.weir.name": "/weir/p",
               "[for name, arn in var.secrets : {name = name, valueFrom = arn}]": [{"name": "A", "valueFrom": "arn"}]}
    values["local.health_script"] = terraform.evaluated(of_module.locals["health_script"], values)
    container = terraform.evaluated(of_module.locals["worker"], values)
    return {"family": "p", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "1024", "memory": "4096",
            "volumes": [{"name": "scratch"}], "containerDefinitions": [container]}


def task_faults(name, task):
    """What a worker's container needs."""
    (worker,) = task["containerDefinitions"]
    drain = int(re.search(r"drain: (\d+)s", example_pipeline())[1])
    image_check = [part.replace("${WEIR_ADMIN_PORT:-9464}", "9464") for part in deploy.health_command()]
    faults = [] if worker.get("readonlyRootFilesystem") is True else [f"{name}: the root file system is writable"]
    faults += [] if re.fullmatch(r"[1-9]\d*:[1-9]\d*", worker.get("user", "")) else [f"{name}: runs as root"]
    faults += [f"{name}: is privileged"] if worker.get("privileged") else []
    faults += [] if worker["linuxParameters"]["capabilities"] == {"drop": ["ALL"]} else [f"{name}: has capabilities"]
    faults += [] if worker["healthCheck"]["command"] == ["CMD", *image_check] else [f"{name}: its health check is not the image's"]
    faults += [] if drain < worker["stopTimeout"] <= 120 else [f"{name}: stopTimeout {worker['stopTimeout']} and worker.drain {drain} s"]
    faults += [] if worker["logConfiguration"]["logDriver"] == "awslogs" else [f"{name}: its log has no metrics in CloudWatch"]
    mounted = {m["sourceVolume"] for m in worker["mountPoints"]}
    faults += [] if mounted == {v["name"] for v in task["volumes"]} else [f"{name}: mounts {mounted}"]
    volume = next(text for word, text in deploy.instructions() if word == "VOLUME")
    faults += [f"{name}: {m['containerPath']} is not a volume of the image, so root owns it" for m in worker["mountPoints"] if m["containerPath"] != volume]
    uid = next(text for word, text in deploy.instructions() if word == "USER" and text != "root")
    return faults + ([] if worker["user"] == uid else [f"{name}: its user is not the image's {uid}"])


def task(suite):
    """The worker's container is not root, writes only to a volume that it owns, has the image's health check, and time to drain"""
    suite.claim(task.__doc__, task_faults("ECS", ecs()) + task_faults("Terraform", module_task()))
    both = ecs()["containerDefinitions"][0], module_task()["containerDefinitions"][0]
    faults = [f"{name} differs: {both[0].get(name)}, {both[1].get(name)}" for name in set(both[0]) & set(both[1])
              - {"image", "command", "environment", "secrets", "logConfiguration", "name", "cpu", "memory"} if both[0][name] != both[1][name]]
    faults += [f"one of them has no {name}" for name in (set(both[0]) ^ set(both[1])) - {"entryPoint"}]
    suite.claim("the task definition of ECS is that of the module", faults)
    faults = []
    for name, value in (("readonlyRootFilesystem", False), ("user", "root"), ("privileged", True), ("stopTimeout", 30), ("stopTimeout", 300)):
        changed = ecs()
        changed["containerDefinitions"][0][name] = value
        faults += [] if task_faults("x", changed) else [f"{name}: {value} is not found"]
    suite.claim("faults of the container are found", faults)


def example_pipeline():
    with open(os.path.join(EXAMPLE, "pipeline.yaml.tftpl")) as f:
        return f.read()


def pipeline(suite):
    """The example's pipeline has the placeholders that its main.tf fills, and weir accepts it and that of EKS"""
    call = terraform.Module(EXAMPLE).modules["weir"]["pipeline"]
    given = set(re.findall(r"(\w+) = ", call.partition(", ")[2]))
    text = example_pipeline()
    faults = [] if given == set(re.findall(r"\$\{(\w+)\}", text)) else [f"main.tf fills {given}"]
    plan = yaml.safe_load(filled_pipeline("example-lake", "ad-state"))
    faults += [] if "cloudwatch" in plan["worker"] else ["it writes no metrics"]

    with open(os.path.join(deploy.DEPLOY, "EKS", "weir.yaml")) as f:
        manifest = next(d for d in yaml.safe_load_all(f) if d["kind"] == "ConfigMap")
    # Until the adapters are in this checkout.
    both = all(os.path.isdir(os.path.join(common.ROOT, "Sources", name)) for name in ("WeirS3", "WeirDynamoDB"))
    if not both:
        suite.note("there is no lake in S3 or no state in DynamoDB yet: the pipelines are checked with a directory and LMDB")
    for name, spec in (("Terraform", plan), ("EKS", yaml.safe_load(manifest["data"]["pipeline.yaml"]))):
        if not both:
            spec = {**spec, "lake": {**spec["lake"], "path": "lake"}, "store": {"lmdb": "state", "flush": spec["store"]["flush"]}}
        path = suite.path("pipeline.yaml")
        with open(path, "w") as f:
            yaml.safe_dump(spec, f, sort_keys=False)
        run = subprocess.run([suite.weir, "check", path], capture_output=True, text=True,
                             env={**os.environ, "KAFKA_USER": "u", "KAFKA_PASSWORD": "p", "KAFKA_BROKERS": "kafka:9092", "POD_NAME": "weir-0"})
        faults += [f"{name}: {run.stderr.strip()}"] if run.returncode else []
    suite.claim(pipeline.__doc__, faults)


def entry(suite):
    """The container's entry point writes the pipeline file byte by byte, and becomes the worker, which does not see the text"""
    data, stub = suite.path("data"), suite.path("weir")
    os.makedirs(data)
    with open(stub, "w") as f:
        f.write(f'#!/bin/bash\necho "$$ ${{WEIR_PIPELINE-none}} $#"; printf "<%s>" "$@"\n')
    os.chmod(stub, 0o755)
    text = "pipeline: p\n# %s %d \\n \\ $HOME `x` \"quoted\" 'single' ü\n\ttab\n\n"
    worker = module_task()["containerDefinitions"][0]
    command = [part.replace("/data/", f"{data}/").replace("/usr/bin/weir", stub) for part in worker["entryPoint"] + worker["command"]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "WEIR_PIPELINE": text})
    out = process.communicate(timeout=60)[0]
    with open(os.path.join(data, "pipeline.yaml")) as f:
        faults = [] if f.read() == text else ["the file is another one"]
    wanted = [part.replace("/data/", f"{data}/") for part in worker["command"]]
    shown = f"{process.pid} none {len(wanted)}\n" + "".join(f"<{part}>" for part in wanted)
    suite.claim(entry.__doc__, faults + ([] if out == shown else [f"printed {out!r}, wanted {shown!r}"]))


# One value that each validation refuses.
REFUSED = {
    "name": "Ad", "pipeline": "text", "image_repository_arn": "weir", "secrets": {"A": "plain text"}, "pipeline_secrets": ["plain text"], "catalog_database": "Ad-Events", "bucket_name": "a.b.c", "table_name": "a",
    "inputs": [{"bucket": "b-1", "prefix": "a*"}], "kinesis": {"stream_arn": "demo", "app": "ads", "key_arn": None},
    "noncurrent_days": 0, "ledger_noncurrent_days": 0, "glue": {"database": "d", "tables": ["_weir/x"], "schedule": "c"}, "subnet_ids": [],
    "interface_endpoints": ["ecs"], "egress": {"b": {"port": 9096, "cidr": "10.0.0"}}, "workers": {"min": 0, "max": 1}, "lag_per_worker": 0, "cpu": 1000,
    "msk": {"cluster_arn": "demo", "reads": [], "groups": [], "writes": []}, "memory": 100, "architecture": "ARM", "stop_timeout": 121,
}


def evaluated(suite):
    """Terraform parses the files as they are formatted, evaluates the module's locals as they should be, and refuses each wrong value"""
    of_module = module()
    tool = terraform_run.Terraform(CHECKOV, of_module, suite.path("evaluated"))
    if not tool.there:
        suite.note("there is no terraform for this processor: nothing is evaluated")
        return
    given = {"name": "ad-events", "image": "weir", "bucket_name": "example-lake", "table_name": "ad-state", "vpc_id": "vpc-1", "subnet_ids": ["s-1"],
             "pipeline": filled_pipeline("example-lake", "ad-state"), "secrets": {"A": "arn:aws:ssm:eu-central-1:111122223333:parameter/a",
             "B": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:b-AbCd:user::"}}
    found, said = tool.values(**given)
    faults = tool.format_faults(MODULE) + ([said] if said else [])
    wanted = {"lake_prefix": "ad-events/", "drain_seconds": 50, "namespace": "Weir", "pipeline": "ad-events", "preconditions": [True] * 4,
              "manager_secrets": ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:b-AbCd"], "ssm_secrets": [given["secrets"]["A"]]}
    faults += [f"{name} is {(found or {}).get(name)}, not {value}" for name, value in wanted.items() if (found or {}).get(name) != value]
    container = module_task()["containerDefinitions"][0]
    faults += [f"{name} of the container is {found['worker'][name]}" for name in (container if found else [])
               if name not in ("environment", "secrets", "logConfiguration") and found["worker"][name] != container[name]]
    for path, prefix in (("s3://example-lake", ""), ("s3://example-lake/", ""), ("s3://example-lake/a/b//", "a/b/"), ("s3://example-lake//a b=c", "a b=c/")):
        found, said = tool.values(**{**given, "pipeline": plan_text(path, "50s")})
        faults += [] if found and found["lake_prefix"] == prefix and all(found["preconditions"]) else [f"{path}: {said or found['lake_prefix']}"]
    for path, drain, failing in (("s3://example-lakes/a", "50s", 0), ("s3://example-lake/a", "60s", 3), ("s3://example-lake/a", "1m30s", 3), ("s3://example-lake/a", "1m", 3), ("lake", "1s", 0)):
        found, said = tool.values(**{**given, "pipeline": plan_text(path, drain)})
        faults += [] if found and not found["preconditions"][failing] else [f"{path}, {drain}: the preconditions are {found and found['preconditions']} {said or ''}"]
    suite.claim(evaluated.__doc__, faults)
    faults = [f"{name} has a validation, and no value that it refuses is here" for name, body in of_module.variables.items()
              if "validation" in body and name not in REFUSED]
    for name, value in REFUSED.items():
        found, said = tool.values(**{**given, name: value})
        if not said or f'variable "{name}"' not in said or "Invalid value for variable" not in said:
            faults.append(f"{name} = {value} is not refused: {said}")
    suite.claim(f"each variable with a validation refuses a wrong value ({len(REFUSED)})", faults)


def plan_text(path, drain):
    return f"pipeline: p\nlake: {{path: '{path}'}}\nstore: {{dynamodb: ad-state}}\nworker: {{drain: {drain}, cloudwatch: {{}}}}\n"


def filled_pipeline(bucket, table):
    return example_pipeline().replace("${bucket}", bucket).replace("${table}", table).replace("${brokers}", "kafka:9092")


def alarms(suite):
    """Alarms and scaling use metrics that a worker writes, with their statistics; each Prometheus rule has its alarm, and each alarm its runbook"""
    with open(deploy.PAGE) as f:
        part = f.read().split("### CloudWatch")[1].split("\n## ")[0]
    documented = {metric: row[1] for row in re.findall(r"^\| (`[^|]*)\| (\w+)", part, re.M) for metric in re.findall(r"`(\w+)`", row[0])}

    def check(of_module):
        faults = [f"{where}: there is no metric {metric}" for where, metric, _ in aws_rules.metrics(of_module) if metric not in documented]
        faults += [f"{where}: {metric} is used with {statistic}, and the page says {documented[metric]}"
                   for where, metric, statistic in aws_rules.metrics(of_module) if documented.get(metric, statistic) != statistic]
        there = set(of_module.locals["alarms"]) | {"WeirWorkerDown"}
        faults += [f"{rule} has no alarm" for rule in sorted(set(deploy.alerts()) - there - NO_ALARM)]
        faults += [f"{alarm} has no runbook" for alarm in sorted(there - set(deploy.alerts()))]
        return faults + aws_rules.alarm_expressions(of_module)
    suite.claim(alarms.__doc__, check(module()) + ([] if len(documented) > 15 else [f"the page lists {len(documented)} metrics"]))
    plant(suite, "faults of alarms and scaling are found", check, (
        ("alarms.tf", '["lost_positions", "Sum"]', '["positions_lost", "Sum"]', "there is no metric positions_lost"),
        ("alarms.tf", '["commits_fenced", "Sum"]', '["commits_fenced", "Maximum"]', "the page says Sum"),
        ("alarms.tf", "IF(lag > 0 AND entries < 1, 1, 0)", "IF(lag > 0, 1, 0)", "the expression has ['lag']"),
        ("alarms.tf", "    WeirFenced = {", "    WeirFences = {", "WeirFences has no runbook"),
        ("scaling.tf", '"pipeline_lag_records"', '"lag_records"', "there is no metric lag_records"),
    ))


# -- Other programs

def models(suite):
    """botocore accepts both task definitions; the calls are operations of their services, with their requests, and the actions are IAM's"""
    features = aws_calls.features()

    def ask(tasks, calls, actions):
        run = subprocess.run([os.path.join(CHECKOV, "bin", "python"), "-I", os.path.join(common.HERE, "aws_models.py")], capture_output=True, text=True,
                             input=json.dumps({"tasks": tasks, "calls": calls, "actions": sorted(actions)}))
        return [line for line in (run.stdout + (run.stderr if run.returncode else "")).split("\n") if line]
    calls = {}
    for feature in features.values():
        if feature["service"] != "kafka-cluster":
            calls.setdefault(feature["service"], []).extend(feature["calls"])
    actions = {action for feature in features.values() for action in aws_calls.actions(feature)}
    suite.claim(models.__doc__, ask({"ECS": ecs(), "Terraform": module_task()}, calls, actions))
    wrong = ecs()
    wrong["containerDefinitions"][0]["readOnlyRootFilesystem"] = "yes"
    found = ask({"wrong": wrong}, {"s3": ["PutObjects"]}, ["s3:PutObjects"])
    suite.claim("a member, a call and an action that do not exist are found",
                [] if len(found) == 3 and "readOnlyRootFilesystem" in found[0] else [f"found {found}"])


def checkov(suite):
    """checkov finds nothing in the module; each skipped check has a reason"""
    def run(directory):
        out = subprocess.run([os.path.join(CHECKOV, "bin", "python"), "-I", os.path.join(CHECKOV, "bin", "checkov"), "--directory", directory, "--framework", "terraform", "--quiet", "--compact",
                              "--skip-download", "--output", "json"], capture_output=True, text=True, env={**os.environ, "LOG_LEVEL": "ERROR"})
        return json.loads(out.stdout)
    copy = suite.path("planted")
    shutil.copytree(MODULE, copy)
    found = run(MODULE)
    faults = [f"{f['check_id']} {f['check_name']}: {f['resource']}" for f in found["results"]["failed_checks"]] + aws_rules.skips(module())
    faults += [f"{f}: not parsed" for f in found["results"].get("parsing_errors", [])]
    passed = found["summary"]["passed"]
    suite.claim(f"{checkov.__doc__} ({passed} checks of {found['summary']['resource_count']} resources)", faults + ([] if passed > 150 else [f"only {passed} checks"]))
    if suite.quick:
        return
    for file, old, new in (("encryption.tf", "enable_key_rotation     = true", "enable_key_rotation     = false"),
                           ("service.tf", 'value = "enabled"', 'value = "disabled"'),
                           ("state.tf", "kms_key_arn = aws_kms_key.weir.arn", ""),
                           ("lake.tf", "restrict_public_buckets = true", "restrict_public_buckets = false")):
        path = os.path.join(copy, file)
        text = open(path).read()
        with open(path, "w") as f:
            f.write(text.replace(old, new))
    ids = {f["check_id"] for f in run(copy)["results"]["failed_checks"]}
    suite.claim("checkov finds planted faults", [f"{i} is not found: {sorted(ids)}" for i in ("CKV_AWS_7", "CKV_AWS_119", "CKV_AWS_56", "CKV_AWS_65") if i not in ids])


if __name__ == "__main__":
    common.Suite("aws_files_are_accepted", 120, __doc__).run(
        names, storage, policies, page_tables, sources, aws_made.made, task, entry, evaluated, pipeline, deploy_eks.eks, alarms, models, checkov)
