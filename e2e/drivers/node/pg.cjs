// node-pg: parameters, named prepared statements, queued queries, cancel by a second connection of its own making.
// CommonJS, because NODE_PATH (where the cache keeps the package) is not read for ES modules.
'use strict';
const { readFileSync } = require('node:fs');
const net = require('node:net');
const pg = require('pg');

const MODE = process.env.BELAY_DRIVERS_MODE || 'belay';
const READ = 'SELECT count(*)::int AS n FROM public.orders';
const WRITE = "UPDATE public.orders SET status = 'x'";
const UNTOUCHED = "SELECT count(*)::int AS n FROM public.orders WHERE status = 'x'";
const LARGE_ROWS = 100000;
const LARGE = `SELECT g AS n, md5(g::text) AS h FROM generate_series(1, ${LARGE_ROWS}) AS g`;
const CANCEL_MS = 200;

let failed = 0;

function fail(text) {
  throw new Error(text);
}

function want(condition, text) {
  if (!condition) fail(text);
}

async function check(name, body) {
  const notes = [];
  const started = Date.now();
  let ok = true;
  try {
    await body((note) => notes.push(note));
  } catch (error) {
    ok = false;
    failed += 1;
    notes.push(`${error.code || error.name}: ${String(error.message).replace(/\s+/g, ' ').slice(0, 300)}`);
  }
  notes.push(`${Date.now() - started} ms`);
  console.log(JSON.stringify({ driver: 'node-pg', check: name, ok, detail: notes.join('; ') }));
}

// node-pg takes host, port, user, database and password from the PG* variables; the certificate authority it does not.
async function connect(root, more) {
  const client = new pg.Client({ ssl: { ca: readFileSync(root || process.env.PGSSLROOTCERT, 'utf8') }, ...more });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function error(promise) {
  try {
    await promise;
  } catch (caught) {
    return caught;
  }
  return fail('the statement was not refused');
}

function wantRefused(caught) {
  want(caught.code === '25006', `SQLSTATE ${caught.code}, wanted 25006: ${caught.message}`);
  if (MODE === 'belay') {
    want(caught.message.trimEnd().endsWith('[BLY-1001]'), `the message does not end with [BLY-1001]: ${caught.message}`);
  }
}

async function number(client, sql) {
  return (await client.query(sql)).rows[0].n;
}

async function checkConnect(client) {
  await check('connect: TLS, verified', async (note) => {
    want(client.connection.stream.encrypted === true && client.connection.stream.authorized, 'the connection is not verified');
    note(`node ${process.version}, pg ${require('pg/package.json').version}`);
  });
  await check("tls: a stranger's CA is refused", async (note) => {
    const caught = await error(connect(process.env.BELAY_DRIVERS_STRANGER_CA));
    want(/certificate/i.test(caught.message), `refused for another reason: ${caught.message}`);
    note(caught.message.slice(0, 60));
  });
  await check('connect: channel binding', async () => {
    const bound = await connect(null, { enableChannelBinding: true });
    want((await number(bound, READ)) > 0, 'no rows');
    await bound.end();
  });
}

async function checkReads(client) {
  for (const binary of [false, true]) {
    await check(`read: parameters, ${binary ? 'binary' : 'text'} results`, async () => {
      const list = binary ? '$2::int[] IS NOT NULL AS l' : '$2::int[] AS l';
      const text = `SELECT id, $5::text AS said, $1::bytea AS b, ${list} FROM public.customers WHERE id = $3 AND email LIKE $4`;
      const { rows } = await client.query({ text, values: [Buffer.from([0, 255]), [1, null, 3], 7, '%@%', 'Zoë'], binary });
      want(rows.length === 1 && rows[0].id === 7 && rows[0].said === 'Zoë', `got ${JSON.stringify(rows)}`);
      // node-pg reads only numbers, booleans, dates and text in binary; bytea and arrays are wrong there on any server.
      want(binary || (rows[0].b[1] === 255 && rows[0].l[2] === 3), `got ${JSON.stringify(rows[0])}`);
    });
  }
  await check('read: prepared statement reused', async () => {
    for (let n = 1; n <= 200; n += 1) {
      const { rows } = await client.query({ name: 'by-id', text: 'SELECT id FROM public.orders WHERE id = $1', values: [n] });
      want(rows[0].id === n, `row ${n}`);
    }
  });
  await check('read: large result', async () => {
    want((await client.query(LARGE)).rows.length === LARGE_ROWS, 'rows are missing');
  });
  await check('read: large result, portal with a fetch size', async () => {
    const { rows } = await client.query({ text: LARGE, values: [], rows: 5000, queryMode: 'extended' });
    want(rows.length === LARGE_ROWS, `${rows.length} rows`);
  });
  await check('read: large result, cursor', async () => {
    await client.query(`BEGIN; DECLARE c CURSOR FOR ${LARGE}`);
    let rows = 0;
    for (let last = 1; last > 0; rows += last) last = (await client.query('FETCH 5000 FROM c')).rows.length;
    await client.query('COMMIT');
    want(rows === LARGE_ROWS, `${rows} rows`);
  });
}

async function checkWrites(client) {
  if (MODE === 'plain') {
    await check('write: rolled back', async () => {
      await client.query('BEGIN');
      want((await client.query(WRITE)).rowCount > 0, 'the write had no effect');
      await client.query('ROLLBACK');
      want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
    });
    return;
  }
  await check('write: refused', async (note) => {
    const caught = await error(client.query(WRITE));
    wantRefused(caught);
    note(caught.message);
  });
  await check('write: refused with parameters, and prepared', async () => {
    const text = 'UPDATE public.orders SET status = $1';
    wantRefused(await error(client.query(text, ['x'])));
    for (let n = 0; n < 3; n += 1) wantRefused(await error(client.query({ name: 'write', text, values: ['x'] })));
  });
  await check('write: connection usable after it', async () => {
    want((await number(client, READ)) > 0, 'no rows');
    want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
  });
  await check('transaction: refused write fails it until rollback', async () => {
    await client.query('BEGIN');
    await client.query(READ);
    wantRefused(await error(client.query(WRITE)));
    const after = await error(client.query(READ));
    want(after.code === '25P02', `SQLSTATE ${after.code}, wanted 25P02: ${after.message}`);
    await client.query('ROLLBACK');
    want((await number(client, READ)) > 0, 'no rows');
  });
  await check('transaction: commit after a refused write rolls back', async (note) => {
    await client.query('BEGIN');
    wantRefused(await error(client.query(WRITE)));
    const { command } = await client.query('COMMIT');
    note(`tag ${command}`);
    want(command === 'ROLLBACK', `COMMIT answered ${command}`);
    want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
  });
}

// node-pg queues: each query goes out when the one before it has answered, so each fails for itself.
async function checkQueue(client) {
  await check('pipeline: queued queries', async () => {
    if (MODE === 'plain') {
      const results = await Promise.allSettled(['BEGIN', WRITE, READ, 'ROLLBACK'].map((sql) => client.query(sql)));
      want(results.every((result) => result.status === 'fulfilled'), 'a query failed');
      want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
      return;
    }
    const [before, write, after] = await Promise.allSettled([READ, WRITE, READ].map((sql) => client.query(sql)));
    want(before.status === 'fulfilled' && after.status === 'fulfilled', 'a read failed');
    wantRefused(write.reason);
    const inside = await Promise.allSettled(['BEGIN', WRITE, READ, 'ROLLBACK'].map((sql) => client.query(sql)));
    want(inside[2].status === 'rejected' && inside[2].reason.code === '25P02', 'a read ran after the refused write');
  });
  await check('pipeline: statement in the middle of one message', async () => {
    if (MODE === 'plain') return;
    wantRefused(await error(client.query(`${READ}; ${WRITE}; ${READ}`)));
    want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
  });
}

// `pipeline: true` writes every query at once, each with a Sync of its own.
async function checkPipeline() {
  await check('pipeline: pipeline mode', async () => {
    const client = await connect(null, { pipeline: true });
    const all = (...sqls) => Promise.allSettled(sqls.map((sql) => client.query(sql)));
    const answers = await all('BEGIN', READ, WRITE, READ, 'ROLLBACK', READ);
    const states = answers.map((answer) => (answer.status === 'fulfilled' ? 'ok' : answer.reason.code)).join(' ');
    want(states === (MODE === 'plain' ? 'ok ok ok ok ok ok' : 'ok ok 25006 25P02 ok ok'), `got ${states}`);
    if (MODE !== 'plain') {
      wantRefused(answers[2].reason);
      const [before, write, after] = await all(READ, WRITE, READ);
      wantRefused(write.reason);
      want(before.status === 'fulfilled' && after.status === 'fulfilled', 'a read failed');
    }
    want((await number(client, UNTOUCHED)) === 0, 'rows were changed');
    await client.end();
  });
}

// node-pg's own cancel: a second client that sends nothing but the request, in cleartext.
function cancelByDriver(client) {
  const second = new pg.Client({ ssl: false });
  second.connection.on('error', () => {});
  second.cancel(client, client.activeQuery);
}

// The same request from a program that does not wait for the other side to close; it must be carried out all the same.
function cancelAndLeave(client) {
  const request = Buffer.alloc(16);
  [16, 80877102, client.processID, client.secretKey].forEach((word, at) => request.writeInt32BE(word, at * 4));
  net.connect(Number(process.env.PGPORT), process.env.PGHOST, function send() {
    this.end(request);
  }).on('error', () => {});
}

async function checkCancel(client, name, cancel) {
  await check(name, async (note) => {
    const times = [];
    for (let n = 0; n < 3; n += 1) {
      const ended = error(client.query('SELECT pg_sleep(30)'));
      await new Promise((resolve) => setTimeout(resolve, 400));
      const asked = Date.now();
      cancel(client);
      const caught = await ended;
      times.push(Date.now() - asked);
      want(caught.code === '57014', `SQLSTATE ${caught.code}, wanted 57014: ${caught.message}`);
    }
    note(`answered after ${times.join(', ')} ms`);
    want(times.sort((a, b) => a - b)[1] < CANCEL_MS, `median over ${CANCEL_MS} ms`);
  });
}

async function main() {
  const client = await connect();
  await checkConnect(client);
  await checkReads(client);
  await checkWrites(client);
  await checkQueue(client);
  await checkPipeline();
  await checkCancel(client, 'cancel: pg_sleep(30)', cancelByDriver);
  await checkCancel(client, 'cancel: by a client that leaves at once', cancelAndLeave);
  await check('pool: several connections at once', async () => {
    const pool = new pg.Pool({ max: 4, ssl: { ca: readFileSync(process.env.PGSSLROOTCERT, 'utf8') } });
    const answers = await Promise.all(Array.from({ length: 40 }, () => pool.query(READ)));
    want(answers.every(({ rows }) => rows[0].n > 0), 'no rows');
    await pool.end();
  });
  await check('still usable at the end', async () => {
    want((await number(client, READ)) > 0, 'no rows');
    await client.end();
  });
  process.exitCode = failed ? 1 : 0;
}

main();
