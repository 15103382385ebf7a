// Calls the published client of version 1.0 as it is told on standard input: a list of [operation, ...arguments].
// Says on standard output what each came to: an answer, or the status and code of a refusal.
const { PersonalizerClient } = require("@azure/cognitiveservices-personalizer");
const { CognitiveServicesCredentials } = require("@azure/ms-rest-azure-js");

async function main() {
  const [endpoint, key] = process.argv.slice(2);
  const client = new PersonalizerClient(new CognitiveServicesCredentials(key), endpoint, {
    noRetryPolicy: true,
  });
  const operations = {
    rank: (request) => client.rank(request),
    reward: (eventId, value) => client.events.reward(eventId, { value }),
    activate: (eventId) => client.events.activate(eventId),
  };
  const told = [];
  for (const [name, ...rest] of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
    try {
      const answer = await operations[name](...rest);
      told.push({ status: answer._response.status, body: answer._response.parsedBody });
    } catch (error) {
      told.push({ status: error.statusCode, code: error.body && error.body.error && error.body.error.code });
    }
  }
  console.log(JSON.stringify(told));
}

main();
