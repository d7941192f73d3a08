create table session (
  tenant text collate "C" not null, session text collate "C" not null,
  agent text not null, version bigint not null, state bytea not null,
  opened double precision not null, seen double precision not null, due double precision,
  primary key (tenant, session)
);

create table event (
  tenant text collate "C" not null, session text collate "C" not null, number bigint not null,
  kind text not null, decision_id text, body bytea not null,
  salt bytea not null, shard text not null, seq bigint not null, place bigint not null,
  primary key (tenant, session, number),
  foreign key (tenant, session) references session (tenant, session) on delete cascade
);

create index event_decision on event (tenant, session, decision_id) where decision_id is not null;

create table shard (shard text primary key, others text not null);

create table link (
  shard text not null references shard (shard), seq bigint not null, commitments bytea not null, value bytea not null,
  primary key (shard, seq)
);

create table token (token_id text primary key, sha256 bytea not null, tenant text collate "C" not null, scopes text not null);

create table probe (at double precision not null);

create table agent (digest text primary key, described text not null);
