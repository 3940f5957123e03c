-- A shop, about 200 MB with indexes: text, numbers, JSON.
create table customers as
  select id, 'customer ' || id as name, md5(id::text) || '@example.com' as email,
         timestamp '2024-01-01' + id * interval '7 minutes' as created_at
  from generate_series(1::bigint, 100000) id;
alter table customers add primary key (id);

create table orders as
  select id, 1 + (id * 7919) % 100000 as customer_id, (id * 31 % 100000) / 100.0 as amount,
         (array['new', 'paid', 'shipped', 'returned'])[1 + id % 4] as status,
         jsonb_build_object('items', id % 7, 'agent', md5((id % 500)::text), 'note',
                            'order number ' || id || ' of customer ' || (id * 7919) % 100000) as meta
  from generate_series(1::bigint, 500000) id;
alter table orders add primary key (id);
create index on orders (customer_id);

create table events as
  select id, id % 500000 as order_id, timestamp '2025-01-01' + id * interval '1 second' as at,
         'the order was looked at by ' || md5(id::text) as text
  from generate_series(1::bigint, 600000) id;
checkpoint;
