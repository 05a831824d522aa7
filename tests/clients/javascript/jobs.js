// Run jobs with the AWS SDK for JavaScript: node jobs.js QUEUE DEFINITION prints what became of each as JSON.

import { BatchClient, DescribeJobsCommand, SubmitJobCommand, paginateListJobs } from "@aws-sdk/client-batch";
import { CloudWatchLogsClient, GetLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { setTimeout as sleep } from "node:timers/promises";

const [jobQueue, jobDefinition] = process.argv.slice(2);
const batch = new BatchClient({});
const logs = new CloudWatchLogsClient({});
const commands = {
  works: ["sh", "-c", "echo hello"],
  fails: ["sh", "-c", "echo why; exit 3"],
  array: ["sh", "-c", "echo child $AWS_BATCH_JOB_ARRAY_INDEX"],
};

async function described(jobId) {
  return (await batch.send(new DescribeJobsCommand({ jobs: [jobId] }))).jobs[0];
}

async function lines(job) {
  const logStreamName = job.container.logStreamName;
  const answer = await logs.send(
    new GetLogEventsCommand({ logGroupName: "/aws/batch/job", logStreamName, startFromHead: true }),
  );
  return answer.events.map((event) => event.message);
}

async function run(jobName) {
  const { jobId } = await batch.send(
    new SubmitJobCommand({
      jobName,
      jobQueue,
      jobDefinition,
      containerOverrides: { command: commands[jobName] },
      arrayProperties: jobName === "array" ? { size: 3 } : undefined,
    }),
  );
  let job = await described(jobId);
  while (!["SUCCEEDED", "FAILED"].includes(job.status)) {
    await sleep(100);
    job = await described(jobId);
  }
  const ids = [];
  if (jobName === "array") {
    for await (const page of paginateListJobs({ client: batch }, { arrayJobId: jobId, jobStatus: job.status })) {
      ids.push(...page.jobSummaryList.map((child) => child.jobId));
    }
  } else {
    ids.push(jobId);
  }
  const printed = [];
  for (const id of ids) {
    printed.push(...(await lines(await described(id))));
  }
  return { status: job.status, exitCode: job.container.exitCode, lines: printed.sort() };
}

const names = Object.keys(commands);
const ended = await Promise.all(names.map(run));
const answer = Object.fromEntries(names.map((name, index) => [name, ended[index]]));
try {
  await batch.send(new SubmitJobCommand({ jobName: "x", jobQueue: "no-such-queue", jobDefinition }));
} catch (error) {
  answer.refused = { name: error.name, fault: error.$fault, message: error.message };
}
console.log(JSON.stringify(answer));
