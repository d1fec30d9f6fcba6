// A client with matrix-js-sdk: logs in, syncs, and prints what its timelines emit, one JSON object a line.
//   node js_client.mjs FOLDER_WITH_NODE_MODULES URL NAME PASSWORD
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// What the library has to say to its developers.
for (const level of ["trace", "debug", "log", "info", "warn", "error"]) console[level] = () => {};

const [folder, baseUrl, user, password] = process.argv.slice(2);
const sdk = await import(pathToFileURL(createRequire(folder + "/").resolve("matrix-js-sdk")));

const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => quiet };

const login = await sdk.createClient({ baseUrl, logger: quiet }).login("m.login.password", {
    identifier: { type: "m.id.user", user },
    password,
});
const client = sdk.createClient({
    baseUrl,
    logger: quiet,
    userId: login.user_id,
    deviceId: login.device_id,
    accessToken: login.access_token,
});
client.on(sdk.RoomEvent.Timeline, (event, room, toStart) => {
    if (!toStart) tell({ room: room.roomId, id: event.getId(), type: event.getWireType(), sender: event.getSender(), content: event.getWireContent() });
});
client.on(sdk.RoomEvent.Redaction, (event) => tell({ redacted: event.event.redacts ?? event.getContent().redacts }));
client.on(sdk.RoomEvent.Receipt, (event) => tell({ read: Object.keys(event.getContent()) }));
client.on(sdk.ClientEvent.Sync, (state) => tell({ state }));
await client.startClient({ initialSyncLimit: 5 });
process.stdin.on("end", () => process.exit(0)).resume();
