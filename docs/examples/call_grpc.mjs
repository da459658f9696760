// Calls a served model over gRPC: npm install @grpc/grpc-js @grpc/proto-loader, predict.proto beside this file, then
// node call_grpc.mjs [HOST:PORT [MODEL]]
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

const [server = "127.0.0.1:8500", model = "a"] = process.argv.slice(2);
const definition = loader.loadSync(fileURLToPath(new URL("predict.proto", import.meta.url)), {
  keepCase: true,
  longs: String,
  enums: String,
});
const { PredictionService } = grpc.loadPackageDefinition(definition).tensorflow.serving;
const client = new PredictionService(server, grpc.credentials.createInsecure());

const batch = { dim: [{ size: 1 }] };
const request = {
  model_spec: { name: model, signature_name: "generate" },
  inputs: { // what is left out takes the model's default
    prompt: { dtype: "DT_STRING", tensor_shape: batch, string_val: [Buffer.from("how do i ")] },
    max_chars: { dtype: "DT_INT32", tensor_shape: batch, int_val: [60] },
    seed: { dtype: "DT_INT64", tensor_shape: batch, int64_val: [7] },
  },
};
client.Predict(request, { deadline: Date.now() + 30_000 }, (error, answer) => {
  if (error) throw error;
  console.log(answer.outputs.text.string_val[0].toString());
  client.close();
});
