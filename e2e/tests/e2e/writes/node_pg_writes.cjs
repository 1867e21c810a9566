// node-pg: parameters, and a named prepared statement that is run twice.
'use strict';
const { readFileSync } = require('node:fs');
const pg = require('pg');

async function main() {
  const client = new pg.Client({ ssl: { ca: readFileSync(process.env.PGSSLROOTCERT, 'utf8') } });
  const notices = [];
  client.on('notice', (notice) => notices.push(notice.message));
  await client.connect();
  const told = async (step, text, values) => {
    notices.length = 0;
    try {
      await client.query(text, values);
      console.log(step, notices[0] || 'done');
    } catch (error) {
      console.log(step, error.code, error.message);
    }
  };
  await told('alone', 'UPDATE orders SET total = total + $1 WHERE id = $2', [1, 57]);
  await client.query('BEGIN');
  await client.query('UPDATE orders SET status = $1 WHERE id = $2', ["it's mine", 41]);
  await client.query('SAVEPOINT careful');
  await client.query('DELETE FROM items WHERE order_id = $1', [41]);
  await client.query('ROLLBACK TO SAVEPOINT careful');
  const add = { name: 'add', text: 'UPDATE items SET quantity = quantity + $1 WHERE order_id = $2' };
  await client.query({ ...add, values: [1, 41] });
  await client.query({ ...add, values: [1, 41] });
  const seen = await client.query('SELECT status FROM orders WHERE id = $1', [41]);
  console.log('sees', seen.rows[0].status);
  await told('commit', 'COMMIT');
  const then = await client.query('SELECT count(*)::int AS n FROM orders');
  console.log('then', then.rows[0].n);
  await client.end();
}

main();
