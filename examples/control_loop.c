/* A control loop of 50 Hz around an exported agent in C, which learns while it controls; control_loop.py explains it.

       quickstudy export bundles/pendulum-rl2 --to c --folder exported/pendulum-c
       gcc -std=c99 -O3 -Iexported/pendulum-c examples/control_loop.c exported/pendulum-c/agent.c -o control_loop -lm
       ./control_loop            (./control_loop 0 does not wait between turns)

   The plant is the same simulated pendulum, with a sensor that drops out and a watchdog that brakes if a decision is late. */

#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent.h"

#define STEP_SECONDS 0.05f
#define MOST_TORQUE 2.0f
#define MOST_SPEED 8.0f
#define DEADLINE_SECONDS 0.005
#define PI 3.14159265358979f

typedef struct {
    float angle, speed, fall, push;
} pendulum;

static uint32_t random_state = 1;

/* A number between 0 and 1 (xorshift, Marsaglia 2003). */
static float uniform(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (float)(random_state >> 8) / 16777216.0f;
}

static float within(float x, float most) { return x > most ? most : (x < -most ? -most : x); }

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void wait_until(double moment) {
    const double left = moment - seconds();
    struct timespec pause;
    if (left <= 0) return;
    pause.tv_sec = (time_t)left;
    pause.tv_nsec = (long)(1e9 * (left - (double)pause.tv_sec));
    nanosleep(&pause, NULL);
}

static float step(pendulum *plant, float torque) {
    const float from_upright = plant->angle - 2.0f * PI * floorf((plant->angle + PI) / (2.0f * PI));
    const float cost = from_upright * from_upright + 0.1f * plant->speed * plant->speed + 0.001f * torque * torque;
    plant->speed += (plant->fall * sinf(plant->angle) + plant->push * torque) * STEP_SECONDS;
    plant->speed = within(plant->speed, MOST_SPEED);
    plant->angle += plant->speed * STEP_SECONDS;
    return -cost;
}

/* What the sensor says; sometimes nothing. */
static void read_sensor(const pendulum *plant, agent_observation *reading) {
    const int dropped = uniform() < 0.02f;
    reading[0] = dropped ? NAN : cosf(plant->angle);
    reading[1] = dropped ? NAN : sinf(plant->angle);
    reading[2] = dropped ? NAN : plant->speed;
}

int main(int argc, char **argv) {
    const double period = argc > 1 && atof(argv[1]) <= 0 ? 0.0 : 1.0 / (argc > 1 ? atof(argv[1]) : 50.0);
    static agent_state state;
    agent_observation reading[AGENT_OBSERVATION_LENGTH];
    agent_action action[AGENT_ACTION_LENGTH];
    agent_feedback feedback = {action, AGENT_ACTION_LENGTH, 0.0f, reading, AGENT_OBSERVATION_LENGTH, 0, 0};
    agent_decision decision;
    pendulum plant = {0.0f, 0.0f, 1.5f * 9.0f / 1.2f, -3.0f / (1.2f * 1.2f)}; /* the motor turns in the opposite direction */
    double following = seconds(), longest = 0.0;
    int episode, turn, interventions = 0, started = 0;

    agent_begin(&state);
    for (episode = 0; episode < 2; episode++) {
        float total = 0.0f;
        plant.angle = PI * (2.0f * uniform() - 1.0f);
        plant.speed = 2.0f * uniform() - 1.0f;
        for (turn = 0; turn < AGENT_HORIZON; turn++) {
            agent_observation seen[AGENT_OBSERVATION_LENGTH];
            double began, took;
            float torque;
            wait_until(following);
            began = seconds();
            if (turn == 0) {
                read_sensor(&plant, seen);
            } else {
                for (int i = 0; i < AGENT_OBSERVATION_LENGTH; i++) seen[i] = reading[i];
            }
            if (agent_step(&state, started ? &feedback : NULL, seen, AGENT_OBSERVATION_LENGTH, &decision) != AGENT_DONE) return 1;
            started = 1;
            took = seconds() - began;
            longest = took > longest ? took : longest;
            torque = within(decision.policy_mean, MOST_TORQUE);
            if (took > DEADLINE_SECONDS) { /* the watchdog brakes */
                interventions++;
                torque = isnan(seen[2]) ? 0.0f : within(-0.2f * seen[2], MOST_TORQUE);
            }
            action[0] = torque;
            feedback.reward = step(&plant, torque);
            read_sensor(&plant, reading);
            feedback.truncated = turn == AGENT_HORIZON - 1;
            total += feedback.reward;
            following += period;
        }
        printf("episode %d: return %.0f\n", episode + 1, (double)total);
    }
    printf("the watchdog stepped in %d times; the longest decision took %.1f us\n", interventions, 1e6 * longest);
    return 0;
}
