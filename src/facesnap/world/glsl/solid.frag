in vec3 v_world;
in vec3 v_normal;
uniform vec4 u_colour;
uniform float u_gloss;
out vec4 f_colour;
void main() {
    vec3 n = normalize(v_normal);
    vec3 v = to_camera(v_world);
    if (dot(n, v) < 0.0) n = -n;
    vec3 c = shade(u_colour.rgb, v_world, n, v, 1.0, vec3(0.1), u_gloss, 40.0);
    f_colour = developed(c, u_colour.a);
}
