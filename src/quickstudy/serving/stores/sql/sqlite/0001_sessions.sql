create table session (
  tenant text not null, session text not null, agent text not null, version integer not null, state blob not null,
  opened real not null, seen real not null, due real,
  primary key (tenant, session)
) strict, without rowid;

create table event (
  tenant text not null, session text not null, number integer not null,
  kind text not null, decision_id text, body blob not null,
  salt blob not null, shard text not null, seq integer not null, place integer not null,
  primary key (tenant, session, number),
  foreign key (tenant, session) references session on delete cascade
) strict, without rowid;

create index event_decision on event (tenant, session, decision_id) where decision_id is not null;

create table shard (shard text primary key, others text not null) strict, without rowid;

create table link (
  shard text not null references shard, seq integer not null, commitments blob not null, value blob not null,
  primary key (shard, seq)
) strict, without rowid;

create table token (
  token_id text primary key, sha256 blob not null, tenant text not null, scopes text not null
) strict, without rowid;

create table probe (at real not null) strict;

create table agent (digest text primary key, described text not null) strict, without rowid;
