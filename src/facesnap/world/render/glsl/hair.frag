// The light is the vertex stage's; here only the roundness of a strand.
in vec3 v_colour;
in float v_side;
uniform float u_class;
out vec4 f_colour;
void main() { f_colour = vec4(v_colour * (1.0 - 0.28 * v_side * v_side), u_class); }
