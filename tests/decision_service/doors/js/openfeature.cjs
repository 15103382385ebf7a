// Asks by OpenFeature's server SDK and its OFREP provider, and tracks by the class that it is told on standard
// input: evaluations are told as JSON.
const { OpenFeature } = require("@openfeature/server-sdk");
const { OFREPProvider } = require("@openfeature/ofrep-provider");

async function main() {
  const [baseUrl, key, target] = process.argv.slice(2);
  const Sidearm = eval(`(${JSON.parse(require("fs").readFileSync(0, "utf8"))})`);
  const provider = new Sidearm({ baseUrl, headers: [["Authorization", `Bearer ${key}`]] });
  await OpenFeature.setProviderAndWait(provider);
  const client = OpenFeature.getClient();
  const context = { targetingKey: target, device: "ios", returning: true };
  const told = {
    text: await client.getStringDetails("bench", "nothing", context),
    number: await client.getNumberDetails("price", -1, context),
    unknown: await client.getStringDetails("nowhere", "the default", context),
    nobody: await client.getStringDetails("bench", "the default", {}),
  };
  client.track("Order Completed", context, { decision_id: told.text.flagMetadata.decision_id });
  console.log(JSON.stringify(told));
  await OpenFeature.close();
}

main();
