"""What scripts/compare runs: the rounds, and the collector made of boto3 and the vendor's SDK."""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ["A2D_PROGRAM"]
# The stand-ins check neither.
KEYS = {"aws_access_key_id": "AKIADEMODEMODEMODEMO", "aws_secret_access_key": "demo-secret-that-opens-nothing"}
# Few objects, because the Python collector takes up to 30 s for them.
RUNS = {"aws_sqs_fdr": (2, 20_000_000), "aws_sqs_cloudtrail": (6, 2_000_000), "aws_sqs_vpc": (10, 2_000_000)}
# Factor for aws-to-devo, because otherwise its start would dominate the measurement.
OURS = 20
COLLECTORS = {
    "aws-to-devo": [],
    "boto3 + devo-sdk": ["collect"],
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", choices=RUNS)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--object-bytes", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| objects | collector | CPU s per GB of log | MB/s per core used | ratio to aws-to-devo's CPU |")
    print("|---|---|---|---|---|")
    for service in [options.service] if options.service else RUNS:
        objects, size = options.objects or RUNS[service][0], options.object_bytes or RUNS[service][1]
        compare(service, objects, size, options.rounds)


def compare(service, objects, size, rounds):
    """Prints the medians of `rounds` alternating rounds."""
    costs = {name: [] for name in COLLECTORS}
    for _ in range(rounds):
        for name, arguments in COLLECTORS.items():
            if arguments:
                costs[name].append(with_stand_ins(service, objects, size, arguments))
            else:
                costs[name].append(bench(service, objects * OURS, size))
            print(f"{service}: {name}: {costs[name][-1]:.2f} CPU s/GB", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in costs.items()}
    for name, cost in medians.items():
        times = cost / medians["aws-to-devo"]
        print(f"| {service}, {objects} of {size / 1e6:g} MB | {name} | {cost:.2f} | {1000 / cost:.0f} | {times:.1f} |")


def bench(service, objects, size):
    arguments = ["--service", service, "--objects", str(objects), "--object-bytes", str(size), "--json"]
    result = json.loads(subprocess.run([PROGRAM, "bench", *arguments], stdout=subprocess.PIPE, check=True).stdout)
    assert result["complete"], result
    return result["cpu_seconds_per_gb"]


def with_stand_ins(service, objects, size, arguments):
    """Returns the CPU seconds per GB of log of a collector in its own process; the sink must have all events."""
    with tempfile.TemporaryDirectory() as directory:
        sink = StandIn(["sink", "--directory", directory])
        aws = StandIn(["aws", "--service", service, "--objects", str(objects), "--object-bytes", str(size)])
        aws.ask(f"announce {objects}")
        kinds = aws.ready["objects"]
        announced = [kinds[number % len(kinds)] for number in range(objects)]
        total = lambda key: sum(object[key] for object in announced)
        where = {**aws.ready, **sink.ready, "service": service, "objects": objects, "directory": directory}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        collector = [sys.executable, __file__, *arguments, json.dumps(where)]
        subprocess.run(collector, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        received = sink.wait_for(total("events"))
        assert received == total("events"), f"{received} events arrived"
        aws.end()
        sink.end()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu / (total("log_bytes") / 1e9)


class StandIn:
    """A part of the program's test bed: prints its address, and reads one command per line."""

    def __init__(self, arguments):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([PROGRAM, "testbed", *arguments], **pipes)
        self.ready = json.loads(self.process.stdout.readline())

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def wait_for(self, events):
        for _ in range(100):
            received = self.ask("counts")["events"]
            if received >= events:
                break
            time.sleep(0.1)
        return received

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def collect(where, zipped):
    """The collector: takes one message after another, calls `send` once per event, and deletes each finished message."""
    import boto3
    from botocore.config import Config
    from devo.sender import Sender, SenderConfigSSL

    config = Config(s3={"addressing_style": "path"}, region_name="us-east-1")
    client = lambda name: boto3.client(name, endpoint_url=where["url"], config=config, **KEYS)
    sqs, s3 = client("sqs"), client("s3")
    file = lambda name: os.path.join(where["directory"], name)
    address = (where["address"], where["port"])
    sender = Sender(SenderConfigSSL(address=address, key=file("domain.key"), cert=file("domain.crt"), chain=file("chain.crt")))
    done = 0
    while done < where["objects"]:
        messages = sqs.receive_message(QueueUrl=where["queue_url"], MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in messages.get("Messages", []):
            for bucket, key in announced(json.loads(message["Body"])):
                body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                for tag, event in events(where["service"], gzip.decompress(body)):
                    sender.send(tag=tag.encode(), msg=event, hostname=b"collector-1", zip=zipped)
                if zipped:
                    sender.flush_buffer()
                done += 1
            entry = {"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}
            sqs.delete_message_batch(QueueUrl=where["queue_url"], Entries=[entry])
    sender.close()


def announced(body):
    if "files" in body:
        return [(body["bucket"], file["path"]) for file in body["files"]]
    return [(record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) for record in body["Records"]]


def events(service, text):
    if service == "aws_sqs_cloudtrail":
        for record in json.loads(text)["Records"]:
            source = record["eventSource"].replace(".amazonaws.com", "").replace("-", "_")
            yield f"cloud.aws.cloudtrail.{source}", json.dumps(record).encode()
        return
    tag, header = {"aws_sqs_fdr": ("edr.crowdstrike.cannon", 0), "aws_sqs_vpc": ("cloud.aws.vpc.flow", 1)}[service]
    for line in text.splitlines()[header:]:
        yield tag, line


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        collect(json.loads(sys.argv[-1]), "--zip" in sys.argv)
    else:
        main()
