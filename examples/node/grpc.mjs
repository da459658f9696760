// Calls a served model over gRPC, by the public protos of TensorFlow Serving:
//
//   python examples/node/protos.py serving.desc && (cd examples/node && npm install)
//   node examples/node/grpc.mjs serving.desc [HOST:PORT [MODEL [PROMPT [SEED]]]]
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [protos, server = "127.0.0.1:8500", model = "a", prompt = "how do i ", seed = "7"] = process.argv.slice(2);
const definition = loader.loadFileDescriptorSetFromBuffer(readFileSync(protos), { keepCase: true, longs: String });
const { PredictionService } = grpc.loadPackageDefinition(definition).tensorflow.serving;
const client = new PredictionService(server, grpc.credentials.createInsecure());

const batch = { dim: [{ size: 1 }] };
const inputs = { // what is left out takes the model's default
  prompt: { dtype: "DT_STRING", tensor_shape: batch, string_val: [Buffer.from(prompt)] },
  max_chars: { dtype: "DT_INT32", tensor_shape: batch, int_val: [60] },
  seed: { dtype: "DT_INT64", tensor_shape: batch, int64_val: [seed] },
};
const request = {
  model_spec: { name: model, signature_name: "generate" },
  inputs: Object.entries(inputs).map(([key, value]) => ({ key, value })), // descriptors have maps as lists of entries
};
client.Predict(request, { deadline: Date.now() + 30_000 }, (error, answer) => {
  if (error) throw error;
  console.log(answer.outputs.find(({ key }) => key === "text").value.string_val[0].toString());
  client.close();
});
