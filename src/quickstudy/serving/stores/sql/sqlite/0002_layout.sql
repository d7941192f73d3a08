alter table event rename to event_before;

alter table session rename to session_before;

create table session (
  id integer primary key, tenant text not null, session text not null, agent text not null, version integer not null,
  state blob not null, since integer, opened real not null, seen real not null, due real,
  unique (tenant, session)
) strict;

create table event (
  id integer primary key, of_session integer not null, number integer not null,
  kind text not null, decision_id text, body blob not null,
  salt blob not null, shard text not null, seq integer not null, place integer not null
) strict;

insert into session (tenant, session, agent, version, state, opened, seen, due)
  select tenant, session, agent, version, state, opened, seen, due from session_before order by opened;

insert into event (of_session, number, kind, decision_id, body, salt, shard, seq, place)
  select s.id, e.number, e.kind, e.decision_id, e.body, e.salt, e.shard, e.seq, e.place
  from event_before e join session s on s.tenant = e.tenant and s.session = e.session order by s.id, e.number;

create index event_of_session on event (of_session, decision_id, number);

drop table event_before;

drop table session_before
