#!/usr/bin/env python3
"""The AWS client signs, finds keys and endpoints as botocore does, works with two servers of AWS's interfaces, and survives faults."""
import base64
import datetime
import json
import os
import ssl
import re
import sys
import threading
import time
import urllib.parse
import warnings
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import common
from common import aws, certificates
from common.loopback import Loopback

try:
    import boto3
    import botocore.auth
    import botocore.awsrequest
    import botocore.config
    import botocore.credentials
    import botocore.endpoint_provider
    import botocore.exceptions
    import botocore.loaders
    import botocore.session
except ModuleNotFoundError as e:
    sys.exit(f"{e.name} is missing. Run Scripts/setup --tests, and this with .build/venv/bin/python.")

MIB = 1 << 20
REQUESTS = 10_000
PROFILES, PROFILES_QUICK = 300, 60
LETTERS = "abcXYZ019-_.~ /=+%&?#:;@!$'()*,[]<>\"\\^`{|}üß€日🙂"


def options(arguments):
    arguments.set_defaults(weir=os.path.join(common.ROOT, ".build", "release", "weir-awsprobe"))


def at(seconds):
    """Makes botocore sign with a time."""
    return mock.patch.object(botocore.auth, "get_current_datetime", return_value=datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc))


# -- Signatures

def signatures(suite):
    """10,000 random requests are signed as botocore's SigV4Auth and S3SigV4Auth sign them"""
    random, asked, expected = suite.random, [], []

    def text(least, most, letters=LETTERS):
        return "".join(random.choice(letters) for _ in range(random.randint(least, most)))
    for _ in range(REQUESTS):
        service = random.choice(["s3", "s3", "dynamodb", "kinesis", "sts", "glue", "secretsmanager", "ssm", "monitoring", "kafka-cluster"])
        path = "/" + urllib.parse.quote(text(0, 40), safe="/-_.~")
        if random.random() < 0.2:
            path += random.choice(["/../x", "/./y/", "//z", "/.", "/.."])
        query = [[text(1, 8), text(0, 12)] for _ in range(random.randint(0, 5))]
        headers = [["Host", random.choice(["s3.eu-central-1.amazonaws.com", "127.0.0.1:4566", "bucket.example"])]]
        for name in random.sample(["Content-Type", "X-Amz-Meta-A", "x-amz-meta-b", "Range", "If-None-Match", "X-Amz-Target", "User-Agent", "Expect"],
                                  random.randint(0, 6)):
            headers.append([name, text(0, 20, "abc XYZ-=;\"/*  0") or "v"])
        keys = {"id": text(4, 20, "ABCDEF0123456789"), "secret": text(8, 40, "abc/+XYZ019")}
        if random.random() < 0.5:
            keys["token"] = text(8, 200, "abc/+XYZ019=")
        case = {"do": "sign", "service": service, "region": random.choice(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
                "method": random.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]), "path": path, "query": query, "headers": headers,
                "body": random.randbytes(random.choice([0, 0, 1, 30, 200])).hex(), "at": random.randint(0, 4_102_444_800), "keys": keys}
        asked.append(case)
        expected.append(signed(case))
    answers = aws.ask(suite, asked, aws.environment(suite))
    faults = [] if len(answers) == REQUESTS else [f"{len(answers)} answers"]
    for case, answer, want in zip(asked, answers, expected):
        got = {name.lower(): value for name, value in answer["headers"]}
        wrong = [name for name, value in want.items() if got.get(name) != value]
        if wrong:
            faults.append(f"{wrong}: {json.dumps(case)[:300]}: {got.get(wrong[0])} instead of {want[wrong[0]]}")
    suite.claim(signatures.__doc__, faults)


def signed(case):
    """The headers that botocore adds."""
    host = dict(case["headers"])["Host"]
    request = botocore.awsrequest.AWSRequest(method=case["method"], url=f"https://{host}{case['path']}", data=bytes.fromhex(case["body"]))
    request.params = [tuple(pair) for pair in case["query"]]
    for name, value in case["headers"]:
        request.headers[name] = value
    keys = botocore.credentials.Credentials(case["keys"]["id"], case["keys"]["secret"], case["keys"].get("token"))
    kind = botocore.auth.S3SigV4Auth if case["service"] == "s3" else botocore.auth.SigV4Auth
    with at(case["at"]):
        kind(keys, case["service"], case["region"]).add_auth(request)
    names = ["Authorization", "X-Amz-Date"] + ["X-Amz-Security-Token"] * ("token" in case["keys"]) + ["X-Amz-Content-SHA256"] * (case["service"] == "s3")
    return {name.lower(): request.headers[name] for name in names}


def tokens(suite):
    """MSK tokens are what botocore presigns for kafka-cluster:Connect, with the signer's User-Agent after the signature"""
    random, asked = suite.random, []
    for _ in range(500):
        keys = {"id": f"AKIA{random.randrange(10**9)}", "secret": base64.b64encode(random.randbytes(30)).decode()}
        if random.random() < 0.7:
            keys["token"] = base64.b64encode(random.randbytes(random.randint(20, 600))).decode()
        asked.append({"do": "token", "region": random.choice(["eu-central-1", "us-east-1", "ap-southeast-2"]), "keys": keys,
                      "at": random.randint(1_600_000_000, 4_000_000_000)})
    faults = []
    for case, answer in zip(asked, aws.ask(suite, asked, aws.environment(suite)), strict=True):
        url = f"https://kafka.{case['region']}.amazonaws.com/"
        request = botocore.awsrequest.AWSRequest(method="GET", url=url, params={"Action": "kafka-cluster:Connect"})
        keys = botocore.credentials.Credentials(case["keys"]["id"], case["keys"]["secret"], case["keys"].get("token"))
        with at(case["at"]):
            botocore.auth.SigV4QueryAuth(keys, "kafka-cluster", case["region"], expires=900).add_auth(request)
        want = sorted(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url).query, strict_parsing=True))
        token = answer["token"]
        got = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(got).query, strict_parsing=True)
        if "=" in token or not got.startswith(url + "?") or pairs[-1][0] != "User-Agent" or sorted(pairs[:-1]) != want \
                or answer["expiresAt"] != case["at"] + 900:
            faults.append(f"{got} instead of {request.url}")
    suite.claim(tokens.__doc__, faults)


# -- Keys

def theirs(variables, profile=None):
    """The keys that botocore finds, and None where it finds none; or its exception."""
    # botocore reads the region from this variable only.
    with mock.patch.dict(os.environ, {**variables, "AWS_DEFAULT_REGION": variables["AWS_REGION"]}, clear=True):
        try:
            session = botocore.session.Session(profile=profile)
            keys = session.get_credentials()
            return keys and keys.get_frozen_credentials()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ValueError, KeyError, OSError) as e:
            return e


def differs(mine, want):
    """What is different between the probe's answer and botocore's keys."""
    if want is None or isinstance(want, Exception):
        return None if mine.get("kind") else f"keys {mine.get('id')} where botocore has {want!r}"
    if mine.get("kind"):
        return f"{mine['message']} where botocore has {want.access_key}"
    request = botocore.awsrequest.AWSRequest(method="GET", url="https://example.com/")
    request.headers["Host"] = "example.com"
    with at(aws.FIXED_SECONDS):
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(want.access_key, want.secret_key, want.token), "sts", "us-east-1").add_auth(request)
    got = dict(mine["headers"])
    if got.get("Authorization") != request.headers["Authorization"] or got.get("X-Amz-Security-Token") != want.token:
        return f"{mine['id']} where botocore has {want.access_key}"
    return None


def files(suite, number, config, credentials):
    """Variables that name two files."""
    named = {}
    for variable, name, text in (("AWS_CONFIG_FILE", "config", config), ("AWS_SHARED_CREDENTIALS_FILE", "credentials", credentials)):
        named[variable] = suite.path(f"{name}-{number}")
        if text is not None:
            with open(named[variable], "w", newline="") as f:
                f.write(text)
    return named


def random_profiles(random):
    """Two files with odd syntax, which botocore reads."""
    end = random.choice(["\n", "\n", "\r\n"])
    secret = "0123456789abcdefABCDEF/+=#;:'\"% "

    def pairs(number):
        keys = {"aws_access_key_id": f"AK{number}", "aws_secret_access_key": "s" + "".join(random.choice(secret) for _ in range(20)) + "e"}
        if random.random() < 0.4:
            keys["aws_session_token"] = f"t{number}=="
        if random.random() < 0.1:
            del keys[random.choice(list(keys))]
        lines, more = [], random.sample([["# a comment = 1"], ["; another"], [""], ["region = r-1"], [], []], 6)
        for key, value in keys.items():
            name = random.choice([key, key.upper(), key.title()])
            lines.append(f"{name}{random.choice(['=', ' = ', ': ', ' =', '   =   '])}{value}{random.choice(['', '  '])}")
            lines += more.pop()
        if random.random() < 0.3:
            lines.insert(random.randint(0, len(lines)), f"s3 ={end}    addressing_style = path{end}    # inside{end}    max = 2")
        return lines

    def file(sections):
        text = random.choice(["", f"# first{end}{end}"])
        for number, section in enumerate(sections):
            text += f"[{section}]{end}" + "".join(f"{line}{end}" for line in pairs(number)) + random.choice(["", end])
        return text
    config = [s for s in ("default", "profile dev", "profile \"two words\"", "profile 'q'", "preview", "sso-session x") if random.random() < 0.6]
    keys = [s for s in ("default", "dev", "two words", "raw") if random.random() < 0.5]
    random.shuffle(config)
    return file(config) if random.random() < 0.8 else None, file(keys) if random.random() < 0.8 else None


def credentials(suite):
    """Environments, profile files, programs, roles, web identity, containers and instances give the keys that botocore finds"""
    cases = []
    for number in range(PROFILES_QUICK if suite.quick else PROFILES):
        named = files(suite, number, *random_profiles(suite.random))
        variables = {**named, "AWS_REGION": "us-east-1"}
        if suite.random.random() < 0.6:
            variables["AWS_PROFILE"] = suite.random.choice(["default", "dev", "two words", "q", "raw", "none"])
        if suite.random.random() < 0.15:
            variables |= aws.KEYS
        if suite.random.random() < 0.1:
            variables["AWS_SESSION_TOKEN"] = "env-token"
        profile = suite.random.choice(["dev", "raw"]) if suite.random.random() < 0.2 else None
        cases.append((variables, profile, f"files {number}"))
    server = aws.Scripted(metadata())
    cases += special(suite, server)

    def judge(case):
        variables, profile, what = case
        mine_variables = aws.environment(suite, **variables)
        answer = aws.ask(suite, [{"do": "resolve", **({"profile": profile} if profile else {})}], mine_variables)[0]
        return what, answer.get("credentials", answer), mine_variables, profile
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(judge, cases))
        faults, found = [], 0
        for what, mine, variables, profile in answers:
            want = theirs(variables, profile)
            found += bool(want) and not isinstance(want, Exception)
            if fault := differs(mine, want):
                faults.append(f"{what}: {fault}")
    finally:
        server.close()
    if found < len(cases) / 3:
        faults.append(f"botocore finds keys in {found} of {len(cases)} cases: they show nothing")
    suite.claim(f"{credentials.__doc__} ({found} of {len(cases)} cases have keys)", faults)


def metadata():
    """Routes of STS, a container, and an instance."""
    keys = {"Code": "Success", "AccessKeyId": "AKMETA", "SecretAccessKey": "meta/secret", "Token": "meta==", "Expiration": "2036-01-01T00:00:00Z"}

    def sts(handler, number, body):
        action = dict(urllib.parse.parse_qsl(body.decode()))["Action"]
        text = f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials><AccessKeyId>AK{action}</AccessKeyId>
            <SecretAccessKey>st&amp;s</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>2036-01-01T00:00:00Z</Expiration></Credentials>
            <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>x:s</AssumedRoleId></AssumedRoleUser>
            </{action}Result></{action}Response>"""
        return 200, {"Content-Type": "text/xml"}, text.encode()

    def role(handler, number, body):
        if handler.headers.get("x-aws-ec2-metadata-token") != "T":
            return 401, {}, b""
        return 200, {}, b"my-role" if handler.path.endswith("/") else json.dumps(keys).encode()
    return {"/": sts, "/latest/api/token": lambda *_: (200, {}, b"T"), "/latest/meta-data/iam/security-credentials": role,
            "/container": lambda handler, *_: (200, {}, json.dumps({**keys, "AccessKeyId": f"AK{handler.headers.get('Authorization')}"}).encode())}


def special(suite, server):
    program = suite.path("program")
    with open(program, "w") as f:
        f.write("#!/bin/sh\necho secret-on-stderr >&2\n[ \"$1\" = \"a b\" ] || exit 3\n"
                "echo '{\"Version\": 1, \"AccessKeyId\": \"AKPROG\", \"SecretAccessKey\": \"p/s\", \"SessionToken\": \"pt\"}'\n")
    os.chmod(program, 0o755)
    token = suite.path("token")
    with open(token, "w") as f:
        f.write("header.payload.signature")
    base = {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": server.url}
    static = "[dev]\naws_access_key_id = AKDEV\naws_secret_access_key = ds\n"
    roles = """[profile r]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = dev
[profile chain]
role_arn = arn:aws:iam::123456789012:role/c
source_profile = r
[profile loop]
role_arn = arn:aws:iam::123456789012:role/l
source_profile = pool
[profile pool]
role_arn = arn:aws:iam::123456789012:role/p
source_profile = loop
[profile env]
role_arn = arn:aws:iam::123456789012:role/e
credential_source = Environment
[profile both]
role_arn = arn:aws:iam::123456789012:role/b
credential_source = Environment
source_profile = dev
[profile missing]
role_arn = arn:aws:iam::123456789012:role/m
source_profile = nowhere
[profile self]
role_arn = arn:aws:iam::123456789012:role/s
source_profile = self
aws_access_key_id = AKSELF
aws_secret_access_key = ss
[profile web]
role_arn = arn:aws:iam::123456789012:role/w
web_identity_token_file = """ + token + "\n"
    programs = f"[profile good]\ncredential_process = \"{program}\" \"a b\"\n[profile bad]\ncredential_process = {program} x\n" \
        f"[profile away]\ncredential_process = /not/there\n[profile text]\ncredential_process = echo hello\n"
    cases = [({**base, **files(suite, f"role-{name}", roles, static), "AWS_PROFILE": name, **(aws.KEYS if name in ("env", "both") else {})}, None, f"role {name}")
             for name in ("r", "chain", "loop", "both", "missing", "self", "web")]
    # Keys of the environment come first unless the caller names the profile.
    cases += [({**base, **files(suite, "role-env", roles, static), **aws.KEYS}, name, f"explicit {name}") for name in ("env", "r", "dev")]
    cases += [({**base, **files(suite, "process", programs, None), "AWS_PROFILE": name}, None, f"program {name}") for name in ("good", "bad", "away", "text")]
    empty = files(suite, "empty", None, None)
    cases += [
        ({**base, **empty, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/w", "AWS_WEB_IDENTITY_TOKEN_FILE": token}, None, "web identity"),
        ({**base, **empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/container/x?y=1"}, None, "container"),
        ({**base, **empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "tok"}, None, "token"),
        ({**base, **empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}, None,
         "token file"),
        ({**base, **empty, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/container"}, None, "another host"),
        ({**base, **empty, "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url + "/"}, None, "instance"),
        ({**base, **empty, "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}, None, "instance, disabled"),
        ({**base, **empty, "AWS_ACCESS_KEY_ID": "x"}, None, "half of the keys"), ({**base, **empty}, None, "nothing"),
    ]
    return cases


# -- Endpoints

SERVICES = {"s3": "s3", "dynamodb": "dynamodb", "kinesis": "kinesis", "sts": "sts", "glue": "glue", "secretsmanager": "secretsmanager", "ssm": "ssm",
            "monitoring": "cloudwatch", "sso": "sso"}


def endpoints(suite):
    """Regions, FIPS and dual-stack give the endpoints of botocore's rules; variables and profiles, those of its clients"""
    loader = botocore.loaders.Loader()
    partitions = loader.load_data("partitions")
    rules = {mine: botocore.endpoint_provider.EndpointProvider(loader.load_service_model(name, "endpoint-rule-set-1"), partitions)
             for mine, name in SERVICES.items()}
    regions = ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1"]
    if not suite.quick:
        regions += ["us-gov-east-1", "cn-northwest-1", "ap-southeast-5", "il-central-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"]
    faults, count = [], 0
    for region in regions:
        for fips in (False, True):
            for dual in (False, True):
                variables = {"AWS_REGION": region, "AWS_USE_FIPS_ENDPOINT": str(fips).lower(), "AWS_USE_DUALSTACK_ENDPOINT": str(dual).lower()}
                answer = aws.ask(suite, [{"do": "resolve", "credentials": False}], aws.environment(suite, **variables))[0]
                for name, rule in rules.items():
                    try:
                        want = rule.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual).url
                    except botocore.exceptions.EndpointProviderError:
                        want = None
                    got = answer["endpoints"][name]
                    count += 1
                    if (got if isinstance(got, str) else None) != want:
                        faults.append(f"{name} in {region}, FIPS {fips}, dual-stack {dual}: {got} instead of {want}")
    named = files(suite, "services", "[default]\nregion = eu-west-1\nendpoint_url = http://profile:1\nservices = local\n[profile plain]\nregion = eu-west-2\n"
                  "[profile fips]\nregion = us-east-1\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n"
                  "[services local]\ns3 =\n  endpoint_url = http://section-s3:2\nsecrets_manager =\n  endpoint_url = http://section-sm:3/path\n", None)
    for number, extra in enumerate((
            {}, {"AWS_PROFILE": "plain"}, {"AWS_PROFILE": "fips"}, {"AWS_ENDPOINT_URL": "http://all:4"},
            {"AWS_ENDPOINT_URL": "http://all:4", "AWS_ENDPOINT_URL_DYNAMODB": "https://own:5", "AWS_ENDPOINT_URL_CLOUDWATCH": "http://watch:6"},
            {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, {"AWS_REGION": "ap-south-1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            {"AWS_DEFAULT_REGION": "ap-south-2", "AWS_PROFILE": "plain"}, {"AWS_PROFILE": "plain", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://s:7"})):
        variables = aws.environment(suite, **named, **extra)
        answer = aws.ask(suite, [{"do": "resolve", "credentials": False}], variables)[0]
        # botocore prefers AWS_DEFAULT_REGION alone; the other SDKs, AWS_REGION.
        theirs_variables = {**variables, "AWS_DEFAULT_REGION": variables.get("AWS_REGION", variables.get("AWS_DEFAULT_REGION", "")),
                            "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional", **aws.KEYS}
        if not theirs_variables["AWS_DEFAULT_REGION"]:
            del theirs_variables["AWS_DEFAULT_REGION"]
        with mock.patch.dict(os.environ, theirs_variables, clear=True):
            session = botocore.session.Session()
            for mine in ("s3", "dynamodb", "secretsmanager", "monitoring"):
                if mine == "secretsmanager" and extra.get("AWS_PROFILE") == "fips":
                    continue    # the client shows another address than the one of its rules, which it sends to
                want = session.create_client(SERVICES[mine]).meta.endpoint_url
                count += 1
                if answer["endpoints"][mine] != want:
                    faults.append(f"{mine} with {extra}: {answer['endpoints'][mine]} instead of {want}")
    suite.claim(f"{endpoints.__doc__} ({count} endpoints)", faults)


# -- Servers

def put(key, body=b"", headers=(), **more):
    return {"do": "send", "service": "s3", "operation": "PutObject", "method": "PUT", "path": f"/{key}", "body": body.hex(), "headers": list(headers), **more}


def target(service, name, version="1.1", **arguments):
    """A request with JSON."""
    return {"do": "send", "service": service, "operation": name.split(".")[1], "method": "POST", "body": json.dumps(arguments).encode().hex(),
            "headers": [["X-Amz-Target", name], ["Content-Type", f"application/x-amz-json-{version}"]]}


def form(service, action, version):
    return {"do": "send", "service": service, "operation": action, "method": "POST", "body": f"Action={action}&Version={version}".encode().hex(),
            "headers": [["Content-Type", "application/x-www-form-urlencoded; charset=utf-8"]]}


CALLS = {
    "dynamodb ListTables": target("dynamodb", "DynamoDB_20120810.ListTables", "1.0"), "kinesis ListStreams": target("kinesis", "Kinesis_20131202.ListStreams"),
    "glue GetDatabases": target("glue", "AWSGlue.GetDatabases"), "secretsmanager ListSecrets": target("secretsmanager", "secretsmanager.ListSecrets"),
    "ssm DescribeParameters": target("ssm", "AmazonSSM.DescribeParameters"), "sts GetCallerIdentity": form("sts", "GetCallerIdentity", "2011-06-15"),
    "monitoring ListMetrics": form("monitoring", "ListMetrics", "2010-08-01")}
KEYS_OF_S3 = ["plain", "a/b/c.parquet", "dt=2026-01-01/x y.parquet", "plus+and%25", "ünï/日本", "a..b", "tilde~(1)!*'", "semi;colon&amp", "#hash?mark"]


def services(suite):
    servers = {"moto": aws.moto(suite), "ministack": aws.ministack(suite)}
    try:
        for name, server in servers.items():
            against(suite, name, server)
    finally:
        for server in servers.values():
            server.close()
    checked_signatures(suite)


def against(suite, name, server):
    variables = aws.environment(suite, **{**aws.KEYS, "AWS_ACCESS_KEY_ID": "test", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url})
    s3 = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="x",
                      config=botocore.config.Config(s3={"addressing_style": "path"}))
    answers = aws.ask(suite, [put("buck")] + list(CALLS.values()), variables)
    faults = [f"{what}: {json.dumps(answer)[:300]}" for what, answer in zip(["CreateBucket", *CALLS], answers, strict=True) if answer.get("status") != 200]
    suite.claim(f"{name}: all services answer", faults)

    keys = KEYS_OF_S3[:2] if name == "moto" else KEYS_OF_S3    # moto's check of paths that need encoding is its own
    faults = [f"{key}: {json.dumps(answer)[:200]}" for key, answer in
              zip(keys, aws.ask(suite, [put(f"buck/{key}", f"of {key}".encode()) for key in keys], variables), strict=True) if answer.get("status") != 200]
    for key in keys:
        try:
            body = s3.get_object(Bucket="buck", Key=key)["Body"].read()
            faults += [] if body == f"of {key}".encode() else [f"{key}: {body}"]
        except botocore.exceptions.ClientError as e:
            faults.append(f"{key}: {e}")
    suite.claim(f"{name}: boto3 reads objects with {len(keys)} kinds of keys", faults)

    large = suite.random.randbytes(1 << 16).hex()
    asked = [put("buck/empty"), {"do": "send", "service": "s3", "operation": "GetObject", "method": "GET", "path": "/buck/none"},
             {**put("buck/large"), "body": large}, {"do": "send", "service": "s3", "operation": "GetObject", "method": "GET", "path": "/buck/large"},
             {**put("buck/once", b"x", [["If-None-Match", "*"]], once=True), "times": 16, "parallel": 16}, {"do": "counts"}]
    empty, none, _, got, race, counts = aws.ask(suite, asked, variables)
    faults = [] if (empty.get("status"), none.get("status")) == (200, 404) else [f"{empty}, {none}"]
    faults += [] if base64.b64decode(got.get("body", "")).hex() == large else ["64 KiB are not read back"]
    outcomes = sorted(str(answer.get("status") or answer["code"]) for answer in race["all"])
    # moto closes each connection, sometimes before its answer is read.
    faults += [] if outcomes.count("200") == 1 and set(outcomes) <= {"200", "412", "409"} else [f"16 conditional PUTs: {outcomes}"]
    total = sum(count["requests"] for count in counts if count["operation"] == "PutObject")
    faults += [] if total == 18 else [f"{total} PUTs counted instead of 18: {counts}"]
    suite.claim(f"{name}: conditional PUTs have one winner of 16, and requests are counted", faults)


def checked_signatures(suite):
    """moto accepts our signatures and refuses a wrong secret"""
    server = aws.moto(suite, INITIAL_NO_AUTH_ACTION_COUNT="3")
    try:
        iam = boto3.client("iam", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="x")
        iam.create_user(UserName="u")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="u")["AccessKey"]
        variables = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url}
        asked = [put("buck"), put("buck/a", b"x"), CALLS["dynamodb ListTables"], CALLS["kinesis ListStreams"], CALLS["sts GetCallerIdentity"]]
        right = aws.ask(suite, asked, aws.environment(suite, **variables, AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"]))
        wrong = aws.ask(suite, asked[1:4], aws.environment(suite, **variables, AWS_SECRET_ACCESS_KEY="wrong-" + key["SecretAccessKey"]))
    finally:
        server.close()
    faults = [f"{answer}"[:300] for answer in right if answer.get("status") != 200]
    faults += [f"a wrong secret: {answer}"[:300] for answer in wrong if answer.get("kind") != "fatal" or answer.get("status") not in (400, 403)]
    faults += ["a secret is shown" for answer in wrong if key["SecretAccessKey"] in json.dumps(answer)]
    suite.claim(checked_signatures.__doc__, faults)


# -- Faults

def faults(suite):
    lost_replies(suite)
    failing_services(suite)
    connections(suite)
    encrypted(suite)
    second_version(suite)
    proxied(suite)
    if not suite.quick:
        hanging_program(suite)


def lost_replies(suite):
    """A reply that is lost after the write landed is unknown for a conditional PUT, sent once; other writes are repeated"""
    stored, acted = {}, []

    def landing(handler, number, body):
        acted.append(handler.path)
        stored[handler.path] = body
        if number == 0:
            return aws.drop(handler)
        return 200, {}, b""
    server = aws.Scripted({"/once": landing, "/always": landing, "/reset": lambda h, n, b: aws.reset(h), "/warm": lambda *_: (200, {}, b"")})
    try:
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url)
        once, always, reset = aws.ask(suite, [put("once/x", b"1", once=True), put("always/x", b"2"), put("reset/x", b"3", once=True)], variables)
        # The same over connections that were kept: libcurl must not send the request once more by itself.
        acted_before = len(acted)
        server.seen.clear()
        kept = aws.ask(suite, [put("warm"), put("once/y", b"1", once=True), put("warm"), put("once/z", b"1", once=True)], variables)
    finally:
        server.close()
    wrong = [] if once.get("kind") == "unknown" and acted.count("/once/x") == 1 else [f"once: {once}, {acted.count('/once/x')} times"]
    wrong += [] if always.get("status") == 200 and acted.count("/always/x") == 2 else [f"always: {always}"]
    wrong += [] if reset.get("kind") == "unknown" else [f"reset: {reset}"]
    wrong += [] if kept[1].get("kind") == "unknown" and acted[acted_before:].count("/once/y") == 1 else [f"kept: {kept[1]}, {acted}"]
    suite.claim(lost_replies.__doc__, wrong)


def failing_services(suite):
    """503, throttling, a slow service, cut answers, a wrong clock and expired keys end as they should"""
    now = datetime.datetime.now(datetime.timezone.utc)
    date = now.strftime("%a, %d %b %Y %H:%M:%S GMT")

    def skewed(handler, number, body):
        sent = datetime.datetime.strptime(handler.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((sent - now).total_seconds()) > 300:
            handler.date_time_string = lambda *_: date
            return 403, {}, aws.error("RequestTimeTooSkewed")
        return 200, {}, b""

    def slow(handler, number, body):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    def cut(handler, number, body):
        if number < 2:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return aws.drop(handler)
        return 200, {}, b"whole"

    def after(times, status, code):
        return lambda handler, number, body: (status, {}, aws.error(code)) if number < times else (200, {}, b"")
    server = aws.Scripted({
        "/503": after(2, 503, "ServiceUnavailable"), "/503once": after(9, 503, "ServiceUnavailable"), "/slowdown": after(1, 503, "SlowDown"),
        "/500": after(99, 500, "InternalError"), "/denied": after(99, 403, "AccessDenied"), "/skew": skewed, "/slow": slow, "/cut": cut,
        "/large": lambda *_: (200, {}, b"x" * 100_001), "/moved": lambda *_: (301, {"x-amz-bucket-region": "eu-west-1"}, aws.error("PermanentRedirect")),
        "/hang": lambda *_: time.sleep(3)})

    def get(path, **more):
        return {"do": "send", "service": "s3", "operation": "GetObject", "method": "GET", "path": path, **more}
    asked = {
        "503": put("503", b"x"), "503once": put("503once", b"x", once=True), "slowdown": put("slowdown", b"x", once=True), "500": get("/500", attempts=3),
        "denied": get("/denied"), "skew": put("skew", b"x", once=True), "slow": get("/slow", attempts=2, attemptMilliseconds=400), "cut": get("/cut"),
        "large": get("/large", answerBytesMax=100_000), "moved": get("/moved"), "hang": put("hang", b"x", once=True, attemptMilliseconds=300)}
    try:
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url, PROBE_CLOCK_SHIFT="-7200")
        got = dict(zip(asked, aws.ask(suite, list(asked.values()), variables), strict=True))
    finally:
        server.close()
    expected = {"503": (200, 3), "503once": ("unknown", 1), "slowdown": (200, 2), "500": ("retriable", 3), "denied": ("fatal", 1), "skew": (200, 2),
                "slow": ("retriable", 2), "cut": (200, 3), "large": ("fatal", 1), "moved": ("fatal", 1), "hang": ("unknown", 1)}
    wrong = []
    for name, (outcome, requests) in expected.items():
        mine = (got[name].get("kind") or got[name].get("status"), server.count(f"/{name}"))
        if mine != (outcome, requests):
            wrong.append(f"{name}: {mine} instead of {(outcome, requests)}: {json.dumps(got[name])[:200]}")
    wrong += [] if "eu-west-1" in got["moved"].get("message", "") else [f"no region in {got['moved']}"]
    suite.claim(failing_services.__doc__, wrong)


def connections(suite):
    """200 requests, 16 at a time, use at most 16 connections; where no server listens, the request was not sent"""
    server = aws.Scripted({"/x": lambda *_: (200, {}, b"ok")})
    try:
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url)
        asked = [{**put("x/y", b"body"), "times": 200, "parallel": 16}]
        answers = aws.ask(suite, asked, variables)[0]["all"]
        made = server.connections
    finally:
        server.close()
    wrong = [f"{answer}" for answer in answers if answer.get("status") != 200]
    wrong += [] if len(answers) == 200 and made <= 16 else [f"{len(answers)} answers over {made} connections"]
    nowhere = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=f"http://127.0.0.1:{aws.port()}")
    away = aws.ask(suite, [put("x", b"y", once=True)], nowhere)[0]
    wrong += [] if (away.get("kind"), away.get("code")) == ("retriable", "NoConnection") else [f"no server: {away}"]
    suite.claim(connections.__doc__, wrong)


def encrypted(suite):
    """TLS: only with AWS_CA_BUNDLE's authority and the right host, and not below 1.2"""
    authority = certificates.Authority(suite.path("certificates"), "authority")
    right, other = authority.sign("right"), authority.sign("other", names="DNS:other.example")
    wrong, answers = [], {}
    for what, (certificate, key), highest, bundle in (
            ("trusted", right, None, authority.certificate), ("unknown", right, None, None), ("other host", other, None, authority.certificate),
            ("1.1", right, ssl.TLSVersion.TLSv1_1, authority.certificate)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(certificate, key)
        if highest:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, highest
        server = aws.Scripted({"/": lambda *_: (200, {}, b"")}, context)
        try:
            variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url, AWS_CA_BUNDLE=bundle)
            answers[what] = aws.ask(suite, [put("x", b"y", attempts=2)], variables)[0]
        finally:
            server.close()
    for what, expected in {"trusted": 200, "unknown": "fatal", "other host": "fatal", "1.1": "retriable"}.items():
        mine = answers[what].get("kind") or answers[what].get("status")
        wrong += [] if mine == expected else [f"{what}: {answers[what]}"]
    suite.claim(encrypted.__doc__, wrong)


def hanging_program(suite):
    """A credential_process that does not end is killed after 60 s, with what it has started"""
    program, mark = suite.path("hangs"), suite.path("hangs.pid")
    with open(program, "w") as f:
        f.write(f"#!/bin/sh\nsleep 600 &\necho $! > {mark}\nwait\n")
    os.chmod(program, 0o755)
    start = time.monotonic()
    named = files(suite, "hangs", f"[default]\ncredential_process = {program}\n", None)
    answer = aws.ask(suite, [{"do": "resolve"}], aws.environment(suite, **named, AWS_REGION="us-east-1"), 4 * common.PATIENCE)[0]["credentials"]
    took = time.monotonic() - start
    with open(mark) as f:
        child = f.read().strip()
    wrong = [] if answer.get("kind") == "retriable" and took > 59 else [f"{answer} after {took:.0f} s"]
    try:
        with open(f"/proc/{child}/stat") as f:
            wrong += [] if f.read().split()[2] == "Z" else [f"its child {child} lives"]
    except FileNotFoundError:
        pass
    suite.claim(hanging_program.__doc__, wrong)


HTTP2 = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    count, more = 0, True
    while more:
        event = await receive()
        count += len(event.get("body", b""))
        more = event.get("more_body", False)
    host = dict(scope["headers"]).get(b"host", b"")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-version", scope["http_version"].encode()), (b"x-host", host)]})
    await send({"type": "http.response.body", "body": f"{count} {scope['path']}".encode()})
"""


def second_version(suite):
    """HTTP/2 is used where TLS offers it, with the host that was signed"""
    authority = certificates.Authority(suite.path("certificates2"), "authority")
    certificate, key = authority.sign("server")
    with open(suite.path("http2app.py"), "w") as f:
        f.write(HTTP2)
    context = ssl.create_default_context(cafile=authority.certificate)
    server = aws.Server(suite, "hypercorn", [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--certfile", certificate, "--keyfile", key,
                                             "http2app:app"], scheme="https", context=context)
    try:
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url, AWS_CA_BUNDLE=authority.certificate)
        answers = aws.ask(suite, [{**put("a b", once=True), "bodyBytes": 300_000, "times": 60, "parallel": 12}], variables)[0]["all"]
    finally:
        server.close()
    wrong = []
    for answer in answers:
        headers = {name.lower(): value for name, value in answer.get("headers", [])}
        body = base64.b64decode(answer.get("body", "")).decode()
        if (headers.get("x-version"), headers.get("x-host"), body) != ("2", f"127.0.0.1:{server.port}", "300000 /a b"):
            wrong.append(f"{json.dumps(answer)[:300]} {body}")
    suite.claim(second_version.__doc__, wrong)


def proxied(suite):
    """A proxy is used for services, and not for hosts of NO_PROXY, containers and instances"""
    direct = aws.Scripted({**metadata(), "/x": lambda *_: (200, {}, b"direct")})
    seen = []

    def proxy(handler, number, body):
        seen.append(handler.path)
        return 200, {}, b"proxy"
    through = aws.Scripted({"http:": proxy, "/": proxy})
    asked = [{"do": "send", "service": "s3", "operation": "GetObject", "method": "GET", "path": "/x"}]
    try:
        base = {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://lake.example", "http_proxy": through.url}
        used = aws.ask(suite, asked, aws.environment(suite, **base, **aws.KEYS))[0]
        near = {"AWS_ENDPOINT_URL": direct.url, "http_proxy": through.url, "NO_PROXY": "127.0.0.1", "AWS_REGION": "us-east-1"}
        spared = aws.ask(suite, asked, aws.environment(suite, **near, **aws.KEYS))[0]
        container = {**base, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{direct.url}/container"}
        keys = aws.ask(suite, [{"do": "resolve"}], aws.environment(suite, **container))[0]
    finally:
        direct.close()
        through.close()
    wrong = [] if base64.b64decode(used.get("body", "")) == b"proxy" and seen == ["http://lake.example/x"] else [f"not through the proxy: {used}, {seen}"]
    wrong += [] if base64.b64decode(spared.get("body", "")) == b"direct" else [f"through the proxy: {spared}"]
    wrong += [] if keys["credentials"].get("id", "").startswith("AK") else [f"the container's keys: {keys['credentials']}"]
    suite.claim(proxied.__doc__, wrong)


class Parts(Loopback):
    """Takes parts of an upload, and keeps of each its number, its length and what its bytes are: pieces of 1 MiB, each of one value."""

    def __init__(self):
        self.parts, self.completed, self.lock = {}, None, threading.Lock()
        super().__init__()

    def handle(self, handler, body):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query, keep_blank_values=True)
        if "uploads" in query:
            return self.reply(handler, 200, [], b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        if handler.command == "PUT":
            whole = len(body) % MIB == 0 and all(body.count(body[at:at + 1], at, at + MIB) == MIB for at in range(0, len(body), MIB))
            with self.lock:
                self.parts[int(query["partNumber"][0])] = [body[at] for at in range(0, len(body), MIB)] if whole else None
            return self.reply(handler, 200, [("ETag", '"e"')], b"")
        self.completed = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        self.reply(handler, 200, [], b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")


def uploads(suite):
    """An upload of 1 GiB takes at most 64 MiB of memory"""
    server = Parts()
    try:
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=server.url)
        answer = aws.ask(suite, [{"do": "upload", "to": "s3://bucket/p", "key": "k", "pieces": 1024}], variables)[0]
    finally:
        server.close()
    wrong = [] if answer.get("outcome") == "created" else [f"{answer}"]
    numbers = sorted(server.parts)
    if server.completed != numbers or [value for number in numbers for value in server.parts[number] or []] != [n % 256 for n in range(1024)]:
        wrong.append(f"parts {numbers} of other bytes, or {server.completed} were put together")
    used = (answer.get("most", 0) - answer.get("before", 0)) / 1024
    if not 0 < used <= 64:
        wrong.append(f"{used:.0f} MiB more than before")
    suite.claim(f"{uploads.__doc__} ({used:.0f} MiB in {len(numbers)} parts)", wrong)


suite = common.Suite("aws_client_equals_botocore", 300, __doc__, options)
suite.run(signatures, tokens, credentials, endpoints, services, faults, uploads)
