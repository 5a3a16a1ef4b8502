/** Prompts, their tokenizer, and the tokens of actions. */
package org.sightline.vla.data.text;
