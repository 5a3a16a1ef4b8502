/**
 * Policies over HTTP as OpenVLA's {@code vla-scripts/deploy.py} has them: {@code POST /act} with an
 * image and an instruction, answered with an action.
 */
package org.sightline.vla.policy.rest;
